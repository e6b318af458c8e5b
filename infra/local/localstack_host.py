"""Runs the LocalStack of the compose file without Docker, from a virtual environment, for tests."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from infra.local.installation import CHECKOUT, CannotStart, Installation
from infra.local.localstack import ask
from infra.local.postgres import HOST, free_port

COMPOSE = CHECKOUT / "localstack-compose.yml"
HOOK = Path(__file__).with_name("localstack_ready.py")
READY_WITHIN = 120  # seconds; the first start compiles it
PATIENCE = 15  # seconds for its end


@contextlib.contextmanager
def running(programs: Path, folder: Path) -> Iterator[str]:
    """Run it for a block, which gets its address when the topology is made.

    `programs` is where its Python is, `folder` an empty one, which takes the place of its container.
    """
    hooks = folder / "etc/localstack/init/ready.d"
    hooks.mkdir(parents=True)
    shutil.copy(HOOK, hooks)
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
            start_new_session=True,  # Ctrl-C is the starter's to handle
        )
    endpoint = f"http://{HOST}:{port}"
    try:
        if not _becomes_ready(process, endpoint):
            raise CannotStart(f"LocalStack does not start:\n{log.read_text(errors='replace')[-4000:]}")
        yield endpoint
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment(folder: Path, port: int) -> dict[str, str]:
    """Return what the container has, with places of this machine."""
    container = yaml.safe_load(COMPOSE.read_text())["services"]["localstack"]["environment"]
    return {
        **container,
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "FILESYSTEM_ROOT": str(folder),
        "GATEWAY_LISTEN": f"{HOST}:{port}",
        "OVERRIDE_IN_DOCKER": "0",  # else it takes a sandbox for its container
        "DNS_ADDRESS": "0",  # no name server of its own
        "PYTHONPATH": str(CHECKOUT),
    }


def _becomes_ready(process: subprocess.Popen[bytes], endpoint: str) -> bool:
    """Wait for the hook to have run; say whether it did what it should."""
    deadline = time.monotonic() + READY_WITHIN
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            ready = ask(f"{endpoint}/_localstack/init/ready")
            if ready["completed"]:
                return [script["state"] for script in ready["scripts"]] == ["SUCCESSFUL"]
        time.sleep(0.1)
    return False
