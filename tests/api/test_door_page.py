"""The files of the scanner page. `test_scanner` opens the page in a browser."""

import json
import re
from pathlib import Path
from urllib.parse import urljoin
from uuid import UUID

import pytest

from chalicelib.api import door_page
from tests.api import npm
from tests.client import Client

FILES = Path(door_page.__file__).with_name("static") / "door"


@pytest.mark.tools
@pytest.mark.slow
def test_the_scripts_have_no_type_errors() -> None:
    options = ["--checkJs", "--allowJs", "--noEmit", "--strict", "--target", "es2022", "--module", "es2022"]
    main = str(FILES / "main.js")
    shown = npm.run(npm.install("typescript@5.9.3"), "tsc", *options, "--moduleResolution", "bundler", main)

    ours = [line for line in shown.stdout.splitlines() if line[:1].strip() and "jsQR.js(" not in line]
    assert ours == []


def test_all_addresses_of_the_page_are_relative(client: Client) -> None:
    """A gateway may serve the API below a prefix, such as its stage."""
    address = f"https://api.example.com/stage/door/{UUID(int=1)}"
    page = client("GET", f"/door/{UUID(int=1)}")
    loaded = re.findall(r'(?:src|href)="([^"]*)"', page.text)

    assert page.headers["permissions-policy"] == "camera=(self)"
    assert {"main.js", "door.css", "door.webmanifest", "icon.svg"} == set(loaded)
    for file in [*loaded, "service-worker.js"]:
        path = urljoin(address, file).removeprefix("https://api.example.com/stage")
        reply = client("GET", path)
        assert (reply.status, reply.headers["cache-control"]) == (200, "no-cache")
        imported = re.findall(r'(?:from|import\() ?"([^"]*)"', reply.text)
        assert all(client("GET", urljoin(path, name)).status == 200 for name in imported)


def test_the_page_runs_its_own_scripts_only(client: Client) -> None:
    headers = client("GET", f"/door/{UUID(int=1)}").headers
    policy = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))

    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert headers["referrer-policy"] == "no-referrer"


def test_the_service_worker_keeps_all_files(client: Client) -> None:
    script = client("GET", "/door/service-worker.js").text
    assert re.search(r'^const VERSION = "[0-9a-f]{16}";$', script, re.MULTILINE)
    [files] = re.findall(r"const FILES = (\[.*\]);", script)

    assert {"main.js", "jsQR.js", "door.css"} < set(json.loads(files))
    assert all(client("GET", f"/door/{file}").status == 200 for file in json.loads(files))


def test_the_reader_of_qr_codes_names_its_licence() -> None:
    assert "jsqr) 1.4.0 |" in (FILES / "README.md").read_text()
    assert "Apache License" in (FILES / "jsQR.LICENSE.txt").read_text()
