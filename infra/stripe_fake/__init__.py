"""A local fake of Stripe: its API, test cards and webhooks, and a page to pay on."""
