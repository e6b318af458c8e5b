"""Check-in: the codes of tickets, door keys for scanners, and who has entered, online or offline."""
