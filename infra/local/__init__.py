"""The embedded stack: all that the product needs, on one machine and without installing it."""
