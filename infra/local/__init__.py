"""The embedded stack: everything that the app needs on one machine, without installing services."""
