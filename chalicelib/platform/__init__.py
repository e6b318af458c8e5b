"""Code without knowledge of the product: HTTP, database, messaging, observability, security, settings."""
