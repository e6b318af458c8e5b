"""Telling people: in-app notifications and e-mails, from domain events, through queues."""
