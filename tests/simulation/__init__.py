"""The whole system in one thread and in virtual time: thousands of bad days, each can be repeated."""
