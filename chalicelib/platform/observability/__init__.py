"""Logs, metrics, and the id of the current request."""
