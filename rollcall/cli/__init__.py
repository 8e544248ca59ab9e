"""The command line: verbs generated from the operations, and a few that run the house."""
