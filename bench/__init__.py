"""Measurements of the whole product on one machine; each is a program of its own."""
