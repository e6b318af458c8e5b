"""Clients generated from the OpenAPI document register, page, book, pay and cancel over HTTP."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import app
from chalicelib.platform.settings import Settings
from chalicelib.wiring import Wiring, using
from infra.local.api_gateway import api_gateway
from infra.local.server import serving
from infra.stripe_fake.server import running
from infra.stripe_fake.webhooks import Endpoint
from tests.api import npm
from tests.client import Client
from tests.conftest import LINK_SECRET, SECRET, TICKET_SECRET, WEBHOOK_SECRET

pytestmark = [pytest.mark.tools, pytest.mark.slow]

FOLDER = Path(__file__).with_name("clients")
TYPESCRIPT = ("openapi-typescript@7.13.0", "openapi-fetch@0.17.0", "typescript@5.9.3", "@types/node@20")
PYTHON = ("openapi-python-client==0.29.1",)
DONE = "A attendee has booked and cancelled"

Urls = tuple[str, str]


@pytest.fixture
def urls(database_url: str) -> Iterator[Urls]:
    """The addresses of the API and of the stand-in for Stripe."""
    with serving(api_gateway(app.app)) as api:
        endpoint = Endpoint(f"{api}/webhooks/stripe", (WEBHOOK_SECRET.decode(),))
        with running(endpoints=[endpoint]) as stripe:
            settings = Settings(
                database_url=database_url,
                jwt_secret=SECRET,
                link_secret=LINK_SECRET,
                ticket_secret=TICKET_SECRET,
                database_pool_size=8,
                stripe_api_key="sk_test_1",
                stripe_api_base=stripe.url,
                stripe_webhook_secrets=(WEBHOOK_SECRET,),
            )
            with using(Wiring(settings)):
                yield api, stripe.url


@pytest.fixture
def document(client: Client, tmp_path: Path) -> Path:
    path = tmp_path / "openapi.json"
    path.write_text(client("GET", "/openapi.json").text)
    return path


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def python_with(*packages: str) -> Path:
    """Return a virtual environment with the packages, made once for this machine."""
    name = hashlib.sha256(" ".join((sys.version, *packages)).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"event-booking-pip-{name}"
    if not (folder / "installed").exists():
        run(sys.executable, "-m", "venv", folder, cwd=Path.cwd())
        done = subprocess.run(  # noqa: S603
            [folder / "bin" / "pip", "install", "--quiet", *packages],
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"pip cannot install {', '.join(packages)}: {done.stderr[-500:]}")
        (folder / "installed").touch()
    return folder / "bin"


def test_a_typescript_client_books_and_pays(document: Path, urls: Urls, tmp_path: Path) -> None:
    node = shutil.which("node")
    packages = npm.install(*TYPESCRIPT) / "node_modules"
    assert node
    (tmp_path / "node_modules").symlink_to(packages)
    shutil.copy(FOLDER / "journey.mts", tmp_path)

    run(packages / ".bin" / "openapi-typescript", document, "--output", "schema.d.ts", cwd=tmp_path)
    options = ["--strict", "--target", "es2022", "--module", "nodenext", "--types", "node", "--skipLibCheck"]
    run(packages / ".bin" / "tsc", *options, "journey.mts", cwd=tmp_path)

    assert run(node, "journey.mjs", *urls, cwd=tmp_path).strip() == DONE


def test_a_python_client_books_and_pays(document: Path, urls: Urls, tmp_path: Path) -> None:
    commands = python_with(*PYTHON)
    shutil.copy(FOLDER / "journey.py", tmp_path)
    options: list[str | Path] = ["--meta", "none", "--output-path", tmp_path / "client"]

    shown = run(commands / "openapi-python-client", "generate", "--path", document, *options, cwd=tmp_path)

    assert "WARNING parsing" not in shown
    assert run(commands / "python", "journey.py", *urls, cwd=tmp_path).strip() == DONE
