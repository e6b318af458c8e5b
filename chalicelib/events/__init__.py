"""Events: what hosts offer, with their capacity, sale window and ticket types."""
