"""The documentation pages: the viewer of the OpenAPI document, and the list of problem types."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from html import escape
from pathlib import Path
from urllib.parse import urljoin

import pytest

import app
from chalicelib.api import docs, problem_types
from infra.local.api_gateway import api_gateway
from infra.local.server import serving
from tests.api.operations import OPERATIONS
from tests.client import Client

CHROMIUM = shutil.which("chromium")
CONSOLE = re.compile(r":(?:INFO|WARNING|ERROR):CONSOLE[^\"]*\"(.*)\", source")
ORIGIN = "https://api.example.com"

Page = tuple[str, list[str], set[str]]


@pytest.fixture
def url(client: Client) -> Iterator[str]:  # noqa: ARG001 (sets the app's parts)
    with serving(api_gateway(app.app)) as url:
        yield url


def open_in_browser(url: str, folder: Path) -> Page:
    """Open a page without a network. Return its DOM, its console, and the URLs that it asked for."""
    assert CHROMIUM
    log = folder / "net.json"
    browser = subprocess.run(  # noqa: S603
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
            *("--disable-background-networking", "--disable-component-update", f"--user-data-dir={folder}"),
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            *("--enable-logging=stderr", f"--log-net-log={log}"),
            *("--virtual-time-budget=20000", "--dump-dom", url),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    requests = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
    # Chromium's own requests, such as those of its update check, have no initiator.
    page = urljoin(url, "/").rstrip("/")
    asked = {request["url"] for request in requests if request.get("initiator") == page}
    return browser.stdout, CONSOLE.findall(browser.stderr), asked


@pytest.mark.tools
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (apt-get install chromium)")
def test_the_viewer_shows_every_operation_without_a_network(url: str, tmp_path: Path) -> None:
    shown, console, asked = open_in_browser(f"{url}/docs", tmp_path)

    for operation in OPERATIONS:
        summary = (operation.view.__doc__ or "").partition("\n")[0].rstrip(".")
        assert escape(summary, quote=False) in shown
        assert f'data-section-id="operation/{operation.view.__name__}"' in shown
    assert {address.partition("?")[0] for address in asked} == {
        f"{url}/docs/viewer.js",
        f"{url}/openapi.json",
    }
    assert [line for line in console if "logo-mini.svg" not in line] == []


def test_the_pages_load_only_from_this_api(client: Client) -> None:
    for path in ("/docs", "/docs/problems"):
        page = client("GET", path)
        loaded = re.findall(r'(?:src|spec-url)="([^"]*)"', page.text)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert all(urljoin(ORIGIN + path, address).startswith(f"{ORIGIN}/") for address in loaded)
        policy = dict(rule.split(" ", 1) for rule in page.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert policy.get("script-src", "'self'") == policy.get("connect-src", "'self'") == "'self'"
        assert not re.search(r"https?:|\*|unsafe-eval", " ".join(policy.values()))


def test_the_page_names_the_version_of_its_viewer(client: Client) -> None:
    [address] = re.findall(r'<script src="([^"]*)"', client("GET", "/docs").text)
    viewer = client("GET", urljoin("/docs", address))
    assert re.fullmatch(r"docs/viewer\.js\?v=[0-9a-f]{16}", address)
    assert viewer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert viewer.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_the_viewer_names_its_licences() -> None:
    folder = Path(docs.__file__).with_name("static")
    notices = (folder / "redoc.standalone.js.LICENSE.txt").read_text()
    [version] = re.findall(r'Version: "(.*)"', notices)
    assert f"redoc) {version} |" in (folder / "README.md").read_text()
    assert "MIT" in (folder / "LICENSE").read_text()


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/docs/problems"])
def test_a_document_is_sent_again_only_when_it_changed(client: Client, path: str) -> None:
    document = client("GET", path)
    again = client("GET", path, headers={"If-None-Match": document.headers["etag"]})
    assert (again.status, again.text) == (304, "")
    for reply in (document, again):
        assert reply.headers["cache-control"] == "public, max-age=300, stale-while-revalidate=86400"


def test_every_problem_has_advice(client: Client) -> None:
    page = client("GET", "/docs/problems").text
    sections = re.findall(
        r'<section id="([a-z-]+)"><h2>[^<]+</h2><p><code>\1</code>, status (\d{3}) [^<]+</p>'
        r"<p>.+?</p></section>",
        page,
    )
    assert len(sections) == page.count("<section")
    assert ("fault", "500") in sections
    assert {refusal.slug() for refusal in problem_types.ADVICE} < {slug for slug, _ in sections}


def test_a_fault_is_explained_where_its_type_points(client: Client) -> None:
    assert client("GET", "/docs/problems").text.count('id="fault"') == 1
