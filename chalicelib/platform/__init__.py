"""What any product would need: HTTP, database, messaging, observability, security, settings."""
