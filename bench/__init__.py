"""Measurements of the whole product on one machine. `python -m bench --list` lists them."""
