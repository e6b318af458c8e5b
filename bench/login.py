"""Measures signing in: it is to be as slow as its hash makes it, and no slower."""

import json
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from bench import ground
from bench.figures import Figure, at_least, ratios
from bench.requests import request
from bench.scale import Scale
from chalicelib.platform.security import hash_password, password_matches
from chalicelib.wiring import Wiring, using

_PASSWORD = "correct horse battery"  # noqa: S105
_EMAIL = "somebody@example.com"


def measure(scale: Scale) -> list[Figure]:
    from app import app  # noqa: PLC0415 (it would set up the log of whoever imports this)

    account = {"name": "Somebody", "email": _EMAIL, "password": _PASSWORD, "role": "attendee"}
    login = request("POST", "/auth/login", body=json.dumps({"email": _EMAIL, "password": _PASSWORD}))
    password_hash = hash_password(_PASSWORD)
    whole, hashing = [], []
    with ground.server() as server:
        url = ground.migrated(server, "login")
        with using(Wiring(ground.settings(url))):
            made = app(request("POST", "/auth/register", body=json.dumps(account)), None)
            assert made["statusCode"] == 201, made
            assert app(login, None)["statusCode"] == 200
            for _ in range(scale.runs):
                whole.append(_time(lambda: app(login, None), scale.requests))
                hashing.append(_time(lambda: password_matches(_PASSWORD, password_hash), scale.requests))
    return [
        Figure(name="POST /auth/login", unit="ms", runs=tuple(seconds * 1e3 for seconds in whole)),
        Figure(
            name="argon2id of POST /auth/login",
            unit="%",
            runs=tuple(100 * ratio for ratio in ratios(hashing, whole)),
            target=at_least(80),
        ),
    ]


def _time(work: Callable[[], Any], times: int) -> float:
    took = []
    for _ in range(max(1, times // 4)):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return median(took)
