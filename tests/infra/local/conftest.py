"""Fixtures for the tests of the embedded stack."""

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import randrange

import boto3
import pytest
from mypy_boto3_ses.client import SESClient
from mypy_boto3_sns.client import SNSClient
from mypy_boto3_sqs.client import SQSClient

from infra.local import aws, localstack_host
from infra.local.localstack import localstack_emails
from infra.local.mailbox import SentEmail, moto_emails
from infra.local.provision import Resources, make_topology
from tests.infra.local.project import Project

LOCALSTACK_PYTHON = os.environ.get("LOCALSTACK_PYTHON")
"""The Python of a LocalStack that replaces moto."""
TIMEOUT = 90.0  # seconds that a test waits for a result, far more than it needs on a slow machine


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """Make a folder that every account can reach, because PostgreSQL does not run as root."""
    with tempfile.TemporaryDirectory(prefix="event-booking-test-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture
def folder() -> Iterator[Path]:
    with reachable_folder() as path:
        yield path


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    with reachable_folder() as folder:
        project = Project(folder)
        yield project
        project.reset()


@dataclass(frozen=True)
class Cloud:
    """A new topology whose failed messages return immediately."""

    sns: SNSClient
    sqs: SQSClient
    ses: SESClient
    resources: Resources


@pytest.fixture(scope="session")
def localstack() -> Iterator[str | None]:
    """The endpoint of a LocalStack in `make localstack-check`, otherwise None."""
    if LOCALSTACK_PYTHON:
        with (
            reachable_folder() as folder,
            localstack_host.running(Path(LOCALSTACK_PYTHON).absolute().parent, folder) as endpoint,
        ):
            yield endpoint
    else:
        yield None


@pytest.fixture(scope="module")
def endpoint(localstack: str | None) -> Iterator[str]:
    """The endpoint of the fake AWS. The environment points to it."""
    if localstack:
        with aws.pointing_at(localstack):
            yield localstack
    else:
        with aws.running() as endpoint:
            yield endpoint


@pytest.fixture
def sent_emails(localstack: str | None) -> Callable[[], Iterable[SentEmail]]:
    """The function that returns the e-mails in the fake SES."""
    return partial(localstack_emails, localstack) if localstack else moto_emails


@pytest.fixture
def cloud(endpoint: str, localstack: str | None) -> Iterator[Cloud]:
    """A new topology in the fake AWS."""
    assert endpoint
    if localstack:
        # LocalStack makes a new account for each access key of twelve digits.
        os.environ["AWS_ACCESS_KEY_ID"] = f"{randrange(1, 10**12):012}"  # noqa: S311
        boto3.setup_default_session()
    sns, sqs, ses = boto3.client("sns"), boto3.client("sqs"), boto3.client("ses")
    yield Cloud(sns, sqs, ses, make_topology(sns, sqs, ses, visibility_timeout=0))
    if not localstack:
        aws.reset()


def becomes_true(condition: Callable[[], bool]) -> bool:
    """Check a condition until it is true or the timeout is over."""
    until = time.monotonic() + TIMEOUT
    while not (result := condition()) and time.monotonic() < until:
        time.sleep(0.02)
    return result
