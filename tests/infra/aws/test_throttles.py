"""The throttles admit what the database of the stage can do."""

import re
from pathlib import Path

import pytest

import app
from infra.aws import function_table, throttles
from infra.aws.template.stages import STAGES
from infra.aws.throttles import SERVERS, THROTTLES

CHECKOUT = Path(__file__).parents[3]
MIN_SHARE = 0.6
"""Less would waste the database."""


@pytest.mark.parametrize("stage", STAGES)
def test_admitted_requests_fit_into_the_database(stage: str) -> None:
    used = sum(throttle.used_share(stage) for throttle in THROTTLES)
    assert MIN_SHARE <= used <= throttles.MAX_SHARE


@pytest.mark.parametrize("stage", STAGES)
def test_bursts_are_within_the_concurrency_of_the_function(stage: str) -> None:
    concurrency = {
        function.name: function.lean_concurrency if stage == "lean" else function.concurrency
        for function in function_table.TABLE
    }
    for throttle in THROTTLES:
        assert 0 < throttle.burst(stage) <= concurrency[throttle.function]
        assert throttle.per_second(stage) >= throttle.burst(stage)


def test_each_throttle_is_of_a_method_of_the_app() -> None:
    methods = [method for throttle in THROTTLES for method in throttle.methods]
    assert len(methods) == len(set(methods))
    assert all(method in app.app.routes[path] for method, path in methods if path != "/*")
    served = {(method, path) for function in function_table.TABLE for method, path in function.routes}
    others = [throttle for throttle in THROTTLES if throttle.function != function_table.API]
    assert {method for throttle in others for method in throttle.methods} == served


def test_costs_are_those_of_the_performance_page() -> None:
    page = (CHECKOUT / "docs/performance.md").read_text()
    table = dict(re.findall(r"^\| `(\w+)` \|.*?\| ([0-9.]+) ms \|", page, re.MULTILINE))
    assert {name: float(ms) for name, ms in table.items()} == {
        throttle.name: throttle.database_ms for throttle in THROTTLES
    }


def test_functions_without_a_proxy_fit_into_the_connections() -> None:
    used = sum(function.lean_concurrency * function.lean_pool_size for function in function_table.TABLE)
    assert used <= SERVERS["lean"].connections
