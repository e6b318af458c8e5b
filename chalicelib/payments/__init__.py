"""Payments: taking money for places by Stripe, and giving it back."""
