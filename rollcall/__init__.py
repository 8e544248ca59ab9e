"""The front door: commands, configuration, wiring, and the client for agents."""
