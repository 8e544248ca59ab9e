"""The verbs of agents, started in a few dozen milliseconds.

A verb whose agent has a door on this machine goes there: parsed by a table that is generated from the
operations, spoken as HTTP over the Unix socket, printed as the long way prints it. Everything else (no door,
no such verb, help, anything that is not plainly right) is left to the command line proper. The standard
library alone.
"""
