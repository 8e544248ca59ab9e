"""`rollcall daemon`: runs and keeps the agents of one machine, and says how they are."""
