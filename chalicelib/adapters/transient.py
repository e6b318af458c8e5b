"""What all calls to AWS have in common: time limits, retries, and the meaning of their errors."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.platform.errors import Unreachable

CONFIG = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "max_attempts": 2})

AT_ONCE = 10
"""Entries that SNS and SQS take in one call."""


@contextmanager
def reaching(service: str) -> Iterator[None]:
    """Tell every failure of a service as one of ours."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise Unreachable(f"{service}: {error}") from error
