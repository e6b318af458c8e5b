"""Every operation that the app serves, as declared: what the tests that leave none out go by."""

import pytest

import app
from chalicelib.platform.http.operation import Operation

OPERATIONS = [operation for router in app.routers for operation in router.operations]


def name(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def short(value: object) -> str:
    """A test's label for a value that may be long or not even text."""
    return ascii(value)[:30]


def each(operations: list[Operation]) -> pytest.MarkDecorator:
    """A test for each of some operations."""
    return pytest.mark.parametrize("operation", operations, ids=name)
