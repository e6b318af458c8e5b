"""Chromium for tests of pages, with a camera that shows QR codes."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import segno

from tests.api import npm

CHROMIUM = shutil.which("chromium")
DRIVER = Path(__file__).with_name("browser_driver.cjs")
PACKAGES = ("playwright-core@1.65.1", "axe-core@4.14.1")

_WIDTH, _HEIGHT = 640, 480
_WHITE, _BLACK, _NO_COLOR = b"\xeb", b"\x10", b"\x80"


class Browser:
    """One page of a browser. Selectors are Playwright's; calls wait for what they select."""

    def __init__(self, process: "subprocess.Popen[str]", packages: Path) -> None:
        self._process = process
        self._axe = (packages / "node_modules" / "axe-core" / "axe.min.js").read_text()

    def call(self, target: str, method: str, *arguments: Any) -> Any:
        """Call a method of the page or its context."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([target, method, *arguments]) + "\n")
        self._process.stdin.flush()
        reply = json.loads(self._process.stdout.readline() or '{"error": "the driver has ended"}')
        assert "error" not in reply, reply["error"]
        return reply["result"]

    def open(self, url: str) -> None:
        self.call("page", "goto", url)

    def run_before_page(self, script: str) -> None:
        """Run a script in each page that is opened from now on, before its own scripts."""
        self.call("context", "addInitScript", {"content": script})

    def reload(self) -> None:
        self.call("page", "reload")

    def click(self, selector: str) -> None:
        self.call("page", "click", selector)

    def fill(self, selector: str, text: str) -> None:
        self.call("page", "fill", selector, text)

    def wait_for(self, selector: str) -> None:
        """Wait until an element is visible."""
        self.call("page", "waitForSelector", selector)

    def wait_until_hidden(self, selector: str) -> None:
        self.call("page", "waitForSelector", selector, {"state": "hidden"})

    def is_visible(self, selector: str) -> bool:
        return bool(self.call("page", "isVisible", selector))

    def text(self, selector: str) -> str:
        return str(self.call("page", "innerText", selector))

    def evaluate(self, expression: str) -> Any:
        return self.call("page", "evaluate", expression)

    def set_offline(self, *, offline: bool) -> None:
        self.call("context", "setOffline", offline)

    def screenshot(self, path: Path) -> None:
        self.call("page", "screenshot", {"path": str(path)})

    def errors(self) -> list[str]:
        """Return the errors that the page has reported since the last call."""
        return list(self.call("errors", "take"))

    def accessibility_violations(self) -> list[str]:
        self.evaluate(f"{self._axe}; null")
        found = self.evaluate("axe.run().then((report) => report.violations)")
        return [f"{one['id']}: {node['html']}" for one in found for node in one["nodes"]]


@contextmanager
def chromium(folder: Path, shown: str) -> Iterator[Browser]:
    """Start a browser whose camera shows the QR code of a text. Skip the test if something is missing."""
    if CHROMIUM is None:
        pytest.skip("needs chromium (apt-get install chromium)")
    packages = npm.install(*PACKAGES)
    camera = folder / "camera.y4m"
    write_video(camera, shown)
    options = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={camera}",
        "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ]
    command = [npm.NODE, str(DRIVER), CHROMIUM, str(folder / "profile"), *options]
    with subprocess.Popen(  # noqa: S603 (a script of the tests)
        command, cwd=packages, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Browser(process, packages)
        finally:
            assert process.stdin
            process.stdin.close()
            process.wait(60)


def write_video(path: Path, text: str) -> None:
    """Write a video without compression (YUV4MPEG2) that shows the QR code of a text."""
    matrix = [[_BLACK if module else _WHITE for module in row] for row in segno.make(text).matrix]
    scale = _HEIGHT * 3 // 4 // len(matrix)
    margin = (_WIDTH - scale * len(matrix)) // 2
    rows = [
        (_WHITE * margin + b"".join(module * scale for module in row)).ljust(_WIDTH, _WHITE)
        for row in matrix
        for _ in range(scale)
    ]
    above = (_HEIGHT - len(rows)) // 2
    picture = (_WHITE * _WIDTH * above + b"".join(rows)).ljust(_WIDTH * _HEIGHT, _WHITE)
    frame = b"FRAME\n" + picture + _NO_COLOR * (_WIDTH * _HEIGHT // 2)
    path.write_bytes(f"YUV4MPEG2 W{_WIDTH} H{_HEIGHT} F10:1 Ip A1:1 C420jpeg\n".encode() + frame * 2)
