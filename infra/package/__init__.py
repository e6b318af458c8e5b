"""The package: the zip that all functions run from, and the template beside it."""
