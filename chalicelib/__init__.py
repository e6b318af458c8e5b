"""The event booking domain, by feature; app.py maps it to HTTP and triggers."""
