"""The HTTP edge: from a request to a service call, and from its outcome to an answer."""
