"""Notifications in the app and by e-mail, made from domain events that come through queues."""
