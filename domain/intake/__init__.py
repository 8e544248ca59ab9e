"""Intake: how plain words become a task, a remark on one, or nothing."""
