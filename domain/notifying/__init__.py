"""Notifications: what people are told, once, when it begins and when it is over."""
