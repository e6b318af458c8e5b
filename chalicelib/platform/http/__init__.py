"""HTTP: parse requests, call views, and render responses."""
