"""Payments: charge for bookings through Stripe, and refund them."""
