"""Who may do what on the bus: keys, signed tokens (JWT), permissions, and where all that is kept."""
