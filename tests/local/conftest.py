"""What the tests of the embedded stack share."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from mypy_boto3_ses.client import SESClient
from mypy_boto3_sns.client import SNSClient
from mypy_boto3_sqs.client import SQSClient

from infra.local import aws
from infra.local.provision import Made, make_topology

PATIENCE = 30.0  # seconds that a test waits for what must come


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """Make a folder that every account can reach, as PostgreSQL under root needs; pytest's are closed."""
    with tempfile.TemporaryDirectory(prefix="event-booking-test-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture
def folder() -> Iterator[Path]:
    with reachable_folder() as path:
        yield path


@dataclass(frozen=True)
class Cloud:
    """A fresh topology whose messages come again at once when they fail."""

    sns: SNSClient
    sqs: SQSClient
    ses: SESClient
    made: Made


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of a stand-in for AWS, which the environment names too."""
    with aws.running() as endpoint:
        yield endpoint


@pytest.fixture
def cloud(endpoint: str) -> Iterator[Cloud]:
    """The topology in that stand-in, as if newly made."""
    assert endpoint
    sns, sqs, ses = boto3.client("sns"), boto3.client("sqs"), boto3.client("ses")
    yield Cloud(sns, sqs, ses, make_topology(sns, sqs, ses, visibility=0))
    aws.forget()


def becomes_true(look: Callable[[], bool]) -> bool:
    """Look until it is so, or patience is over."""
    until = time.monotonic() + PATIENCE
    while not (so := look()) and time.monotonic() < until:
        time.sleep(0.02)
    return so
