"""Runs the LocalStack of the compose file from a virtual environment instead of Docker, for tests."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from infra.local.localstack import request
from infra.local.postgres import HOST, free_port
from infra.local.postgres_binaries import Installation
from infra.local.startup import CHECKOUT, CannotStart

COMPOSE = CHECKOUT / "localstack-compose.yml"
STARTUP_TIMEOUT = 120  # seconds, enough for the first start, which compiles LocalStack
SHUTDOWN_TIMEOUT = 15  # seconds


@contextlib.contextmanager
def running(programs: Path, folder: Path) -> Iterator[str]:
    """Run LocalStack for a block, which gets its endpoint.

    `programs` is the folder of its Python. `folder` is empty, and replaces the container's file system.
    """
    log = folder / "log"
    port = free_port()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            Installation(programs, None).command("python", "-m", "localstack.runtime.main"),
            cwd=folder,
            env=_environment(folder, port),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # keeps Ctrl-C from LocalStack
        )
    endpoint = f"http://{HOST}:{port}"
    try:
        if not _becomes_ready(process, endpoint):
            raise CannotStart(f"LocalStack cannot start:\n{log.read_text(errors='replace')[-4000:]}")
        yield endpoint
    finally:
        process.terminate()
        try:
            process.wait(SHUTDOWN_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment(folder: Path, port: int) -> dict[str, str]:
    """Return the container's environment with paths of this machine."""
    container = yaml.safe_load(COMPOSE.read_text())["services"]["localstack"]["environment"]
    return {
        **container,
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "FILESYSTEM_ROOT": str(folder),
        "GATEWAY_LISTEN": f"{HOST}:{port}",
        "OVERRIDE_IN_DOCKER": "0",  # otherwise it takes a sandbox for its container
        "DNS_ADDRESS": "0",  # starts no DNS server
    }


def _becomes_ready(process: subprocess.Popen[bytes], endpoint: str) -> bool:
    """Wait until LocalStack is ready. Return False if it ends instead."""
    deadline = time.monotonic() + STARTUP_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if request(f"{endpoint}/_localstack/init/ready")["completed"]:
                return True
        time.sleep(0.1)
    return False
