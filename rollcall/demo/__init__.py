"""A minute of agents at work."""
