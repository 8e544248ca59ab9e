"""The authority: every fact, kept in one SQL schema."""
