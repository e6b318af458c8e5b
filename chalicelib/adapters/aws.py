"""Shared by all AWS adapters: time limits, retries, batch size and error translation."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.platform.errors import Unreachable

CONFIG = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "max_attempts": 2})

MAX_BATCH_SIZE = 10
"""The limit of SNS and SQS for entries in one call."""


@contextmanager
def translate_errors(service: str) -> Iterator[None]:
    """Raise Unreachable for every error of an AWS service."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise Unreachable(f"{service}: {error}") from error
