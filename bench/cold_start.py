"""Measures a cold start: the import of the compiled app and its first request, each time in a new process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench import database
from bench.figures import Figure
from bench.requests import request
from bench.scale import Scale

_CHECKOUT = Path(__file__).parents[1]
_CONTAINER = """
import contextlib, json, sys, time
sys.modules["cryptography"] = None  # PyJWT would load it; it is installed with moto and not in the package
event = json.loads(sys.stdin.readline())
before = time.process_time()
from app import app
imported = time.process_time()
began = time.perf_counter()
response = app(event, None)
ended = time.perf_counter()
assert response["statusCode"] == 200, response
peak = float("nan")  # known on Linux only
with contextlib.suppress(FileNotFoundError), open("/proc/self/status") as status:
    [peak] = [int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:")]
print(json.dumps({"import": imported - before, "first": ended - began, "peak": peak}), file=sys.stderr)
"""


def measure(scale: Scale) -> list[Figure]:
    with database.server() as server:
        url = database.populate(server, "cold", people=1, events=20)
        _start(url)  # compiles what is not compiled yet
        starts = [_start(url) for _ in range(scale.runs)]
    return [
        Figure("import of the app, CPU", "ms", [start["import"] for start in starts], most=300),
        Figure(
            "first request (GET /events), with the connection", "ms", [start["first"] for start in starts]
        ),
        Figure("peak memory after it", "MB", [start["peak"] for start in starts], most=60),
    ]


def _start(url: str) -> dict[str, Any]:
    secret, path = database.SECRET.decode(), os.environ.get("PATH", "")
    ended = subprocess.run(  # noqa: S603 (this interpreter)
        [sys.executable, "-c", _CONTAINER],
        input=json.dumps(request("GET", "/events")),
        cwd=_CHECKOUT,
        env={"DATABASE_URL": url, "JWT_SECRET": secret, "LINK_SECRET": secret, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    measured: dict[str, Any] = json.loads(ended.stderr)
    return measured
