"""The table of functions is that of the app, and what Lambda allows."""

from typing import Any

import pytest
from chalice.app import Chalice

import app
from chalicelib.platform.messaging import queues
from infra import functions


def test_the_table_has_the_functions_of_the_app() -> None:
    in_table = [function.name for function in functions.TABLE]
    assert len(set(in_table)) == len(in_table)
    assert set(in_table) == set(functions.names(app.app))


def test_a_function_that_the_table_does_not_have_is_named() -> None:
    other = Chalice("other")

    @other.lambda_function()
    def sweep(_event: Any, _context: Any) -> None:
        """Do nothing."""

    with pytest.raises(LookupError, match="sweep"):
        functions.of(other)


def test_each_queue_triggers_a_function_that_has_its_time() -> None:
    by_name = {function.name: function for function in functions.of(app.app)}
    assert {queue.function: by_name[queue.function].timeout for queue in queues.QUEUES} == {
        queue.function: queue.timeout for queue in queues.QUEUES
    }


def test_limits_are_such_as_lambda_takes() -> None:
    for function in functions.TABLE:
        assert 1 <= function.timeout <= 900
        assert 128 <= function.memory <= 10_240
        if function.queue:
            assert function.at_once >= 2
    # Of the 1 000 that an account has, 100 have to be left.
    assert sum(function.at_once for function in functions.TABLE) <= 900
