"""Accounts: hosts and attendees, how they sign in, and their profiles."""
