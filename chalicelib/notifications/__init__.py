"""Telling people: in-app notifications and e-mails, from facts, through queues."""
