"""Procedures with guards: their text without some of the guards, to show what each guard is for."""

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

from tests.client import Client
from tests.rows import alter

_GUARD = re.compile(r"^ *-- guard: (\S+)\n(.*?)^ *-- end guard\n", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class GuardedProcedure:
    """A procedure that the service calls."""

    name: str
    source: str
    guards: dict[str, str] = field(init=False)
    """The guarded lines, by the name of the guard."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "guards", dict(_GUARD.findall(self.source)))

    def without_guard(self, *names: str) -> str:
        """Return the text without the lines of these guards."""
        unknown = set(names) - self.guards.keys()
        assert not unknown, f"{self.name} has no guard {', '.join(unknown)}"
        return _GUARD.sub(lambda guard: "" if guard[1] in names else guard[0], self.source)

    def replace(self, client: Client, source: str) -> None:
        """Replace the procedure by this text of it."""
        create = f"CREATE PROCEDURE {self.name}("
        assert source.count(create) == 1, "the service calls another procedure"
        alter(client, source.replace(create, f"CREATE OR REPLACE PROCEDURE {self.name}("))

    def check(self, folder: Path) -> None:
        """Check that the guards have an end each, and that a test of the folder removes each of them."""
        lines = [line.strip() for line in self.source.splitlines()]
        begins = [line for line in lines if line.startswith("-- guard:")]
        assert 0 < len(self.guards) == len(begins) == lines.count("-- end guard")
        assert self.guards.keys() <= _strings_in_pair_tests(folder)


def _strings_in_pair_tests(folder: Path) -> set[str]:
    """Return the string literals of all tests that remove guards, among them the guards' names."""
    files = folder.glob("test_*.py")
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    pairs = [
        node for node in nodes if isinstance(node, ast.FunctionDef) and "without_guard" in _names_in(node)
    ]
    parts = [part for pair in pairs for part in ast.walk(pair)]
    return {part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def _names_in(function: ast.FunctionDef) -> set[str]:
    nodes = list(ast.walk(function))
    return {node.id for node in nodes if isinstance(node, ast.Name)} | {
        node.attr for node in nodes if isinstance(node, ast.Attribute)
    }
