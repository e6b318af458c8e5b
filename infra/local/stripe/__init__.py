"""A stand-in for Stripe: its API, its card network, its webhooks, and a page where a person pays."""
