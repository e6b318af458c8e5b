"""The promises of the system, each a test."""
