"""All operations that the app declares, for tests that cover each of them."""

import pytest

import app
from chalicelib.platform.http.operation import Operation

OPERATIONS = [operation for router in app.routers for operation in router.operations]


def name(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def short(value: object) -> str:
    """Return the label of a test for a value that can be long or not printable."""
    return ascii(value)[:30]


def each(operations: list[Operation]) -> pytest.MarkDecorator:
    """Parametrize a test by operations."""
    return pytest.mark.parametrize("operation", operations, ids=name)
