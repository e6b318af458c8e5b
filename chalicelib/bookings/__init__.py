"""Bookings: taking a place and giving it back, and what ends with an event or an account."""
