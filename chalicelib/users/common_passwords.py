"""Passwords that are refused because attackers try them first.

`common_passwords.txt` holds the passwords of at least 8 characters from the list that Django 5.2 ships
(`django/contrib/auth/common-passwords.txt.gz`, BSD-3-Clause), the 20,000 most common passwords of breaches,
compiled by Royce Williams: https://gist.github.com/roycewilliams/226886fd01572964e1431ac8afc999ce.
"""

from functools import cache
from pathlib import Path

from chalicelib.platform.errors import FieldError, InvalidInput

_LIST = Path(__file__).with_suffix(".txt")


@cache
def _common() -> frozenset[str]:
    """Read the list when a password is first set. It takes about 2 ms and 1 MB."""
    return frozenset(_LIST.read_text(encoding="utf-8").splitlines())


def refuse_common(password: str) -> None:
    """Refuse a new password that is on the list, in any case.

    Raises:
        InvalidInput
    """
    if password.strip().lower() in _common():
        raise InvalidInput(errors=[FieldError("password", "is one of the most common passwords")])
