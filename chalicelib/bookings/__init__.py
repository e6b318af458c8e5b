"""Bookings: book a place of an event, hold it until it is paid, cancel it."""
