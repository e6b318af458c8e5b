"""The HTTP API: one module per URL prefix."""
