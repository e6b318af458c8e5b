"""The function table matches the app and Lambda's limits."""

from typing import Any

import pytest
from chalice.app import Chalice

import app
from chalicelib.platform.messaging import queues
from infra.aws import function_table


def test_the_table_lists_the_functions_of_the_app() -> None:
    in_table = [function.name for function in function_table.TABLE]
    assert len(set(in_table)) == len(in_table)
    assert set(in_table) == set(function_table.names(app.app))


def test_a_function_missing_from_the_table_is_named() -> None:
    other = Chalice("other")

    @other.lambda_function()
    def sweep(_event: Any, _context: Any) -> None:
        pass

    with pytest.raises(LookupError, match="sweep"):
        function_table.deployed(other)


def test_a_function_on_a_queue_has_the_timeout_of_the_queue() -> None:
    by_name = {function.name: function for function in function_table.deployed(app.app)}
    assert {queue.function: by_name[queue.function].timeout for queue in queues.QUEUES} == {
        queue.function: queue.timeout for queue in queues.QUEUES
    }


def test_limits_are_within_those_of_lambda() -> None:
    for function in function_table.TABLE:
        assert 1 <= function.timeout <= 900
        assert 128 <= function.memory_mb <= 10_240
        if function.queue:
            assert function.concurrency >= 2
    # An account has 1,000, and Lambda keeps 100 of them unreserved.
    assert sum(function.concurrency for function in function_table.TABLE) <= 900
