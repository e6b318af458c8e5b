"""Events: published by hosts, with a capacity, a sale window and ticket types."""
