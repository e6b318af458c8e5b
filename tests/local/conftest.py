"""What the tests of the embedded stack share."""

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
from infra.local.localstack import given_to
from infra.local.mail import Sent, given_to_moto
from infra.local.provision import Made, make_topology
from tests.local.project import Project

LOCALSTACK_PYTHON = os.environ.get("LOCALSTACK_PYTHON")
"""The Python of a LocalStack to test on in moto's stead."""
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


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    with reachable_folder() as folder:
        project = Project(folder)
        yield project
        project.reset()


@dataclass(frozen=True)
class Cloud:
    """A fresh topology whose messages come again at once when they fail."""

    sns: SNSClient
    sqs: SQSClient
    ses: SESClient
    made: Made


@pytest.fixture(scope="session")
def localstack() -> Iterator[str | None]:
    """The address of a LocalStack, where one is to be tested (`make localstack-check`)."""
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
    """The address of a stand-in for AWS, which the environment names too."""
    if localstack:
        with aws.pointing_at(localstack):
            yield localstack
    else:
        with aws.running() as endpoint:
            yield endpoint


@pytest.fixture
def sent(localstack: str | None) -> Callable[[], Iterable[Sent]]:
    """What its SES was given."""
    return partial(given_to, localstack) if localstack else given_to_moto


@pytest.fixture
def cloud(endpoint: str, localstack: str | None) -> Iterator[Cloud]:
    """The topology in that stand-in, as if newly made."""
    assert endpoint
    if localstack:
        # An account of its own, which LocalStack makes of a key of twelve digits.
        os.environ["AWS_ACCESS_KEY_ID"] = f"{randrange(1, 10**12):012}"  # noqa: S311
        boto3.setup_default_session()
    sns, sqs, ses = boto3.client("sns"), boto3.client("sqs"), boto3.client("ses")
    yield Cloud(sns, sqs, ses, make_topology(sns, sqs, ses, visibility=0))
    if not localstack:
        aws.forget()


def becomes_true(look: Callable[[], bool]) -> bool:
    """Look until it is so, or patience is over."""
    until = time.monotonic() + PATIENCE
    while not (so := look()) and time.monotonic() < until:
        time.sleep(0.02)
    return so
