"""Measures a cold start: importing the app, compiled, and its first request, in a new process each time."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench import ground
from bench.figures import Figure, at_most
from bench.requests import request
from bench.scale import Scale

_CHECKOUT = Path(__file__).parents[1]
_CONTAINER = """
import json, sys, time
sys.modules["cryptography"] = None  # PyJWT would load it; it comes with moto and is not in the package
event = json.loads(sys.stdin.readline())
before = time.process_time()
from app import app
imported = time.process_time()
began = time.perf_counter()
answer = app(event, None)
answered = time.perf_counter()
assert answer["statusCode"] == 200, answer
try:
    with open("/proc/self/status") as status:
        [peak] = [int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:")]
except FileNotFoundError:
    import resource  # of no use on Linux, where it begins with what the process that started this one had
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
print(json.dumps({"import": imported - before, "first": answered - began, "peak": peak}), file=sys.stderr)
"""


def measure(scale: Scale) -> list[Figure]:
    with ground.server() as server:
        url = ground.migrated(server, "cold")
        _start(url)  # compiles what is not compiled yet
        started = [_start(url) for _ in range(scale.runs)]
    return [
        Figure(
            name="Import of the app, CPU",
            unit="ms",
            runs=tuple(each["import"] * 1e3 for each in started),
            target=at_most(300),
        ),
        Figure(
            name="First request after it (GET /events), with the connection",
            unit="ms",
            runs=tuple(each["first"] * 1e3 for each in started),
        ),
        Figure(
            name="Memory after it, at its peak",
            unit="MB",
            runs=tuple(each["peak"] for each in started),
            target=at_most(60),
        ),
    ]


def _start(url: str) -> dict[str, Any]:
    environment = {
        "DATABASE_URL": url,
        "JWT_SECRET": ground.SECRET.decode(),
        "PATH": os.environ.get("PATH", ""),
    }
    ended = subprocess.run(  # noqa: S603 (this interpreter)
        [sys.executable, "-c", _CONTAINER],
        input=json.dumps(request("GET", "/events")),
        cwd=_CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    measured: dict[str, Any] = json.loads(ended.stderr)
    return measured
