"""`make docs`: rewrites the generated sections of docs/*.md from the code.

A section is the text between `<!-- generated: NAME -->` and `<!-- end generated -->`, where NAME is a key of
RENDERERS.
"""

import argparse
import ast
import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Column, ForeignKeyConstraint, Table, UniqueConstraint
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex

import app  # registers all tables
from chalicelib import operations
from chalicelib.platform.database.engine import metadata
from chalicelib.platform.settings import Settings
from infra import domain_event_docs
from infra.aws import function_table
from infra.aws.template import stages

DOCS = Path(__file__).parents[1] / "docs"

_OPENING = "<!-- generated:"
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_SECTION = re.compile(rf"({_OPENING} ([\w-]+) -->\n).*?(<!-- end generated -->)", re.DOTALL)


class BadMarker(Exception):
    """A marker has no end or an unknown name."""


def settings() -> str:
    """Render the environment variables that `Settings` reads."""
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    definition = _settings_class()
    texts = dict(_field_docstrings(definition))
    rows = (
        (f"`{variable}`", _default(fields[name]), texts.get(name, ""))
        for name, variable in _variables(definition)
    )
    return _table(("Variable", "Default", "Meaning"), rows)


def _settings_class() -> ast.ClassDef:
    (definition,) = ast.parse(inspect.getsource(Settings)).body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101 (for mypy)
    return definition


def _field_docstrings(definition: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(docstring))):
                yield name, docstring


def _variables(definition: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """List fields with their variables: `cls(field=…("VARIABLE"…), …)`."""
    for call in ast.walk(definition):
        match call:
            case ast.Call(func=ast.Name(id="cls"), keywords=keywords):
                for keyword in keywords:
                    texts = (part.value for part in ast.walk(keyword) if isinstance(part, ast.Constant))
                    variables = [text for text in texts if isinstance(text, str) and text.isupper()]
                    if variables:
                        yield str(keyword.arg), variables[0]


def _default(field: dataclasses.Field[Any]) -> str:
    match field.default:
        case dataclasses.MISSING:
            return "required"
        case bool(switch):
            return "`on`" if switch else "`off`"
        case None | "" | ():
            return "none"
        case value:
            return f"`{value}`"


def functions() -> str:
    """Render the deployed functions with their limits."""
    schedules = {
        source.name: source.schedule_expression.to_string()
        for source in app.app.event_sources
        if hasattr(source, "schedule_expression")
    }
    texts = {
        node.name: (ast.get_docstring(node) or "").split("\n\n")[0]
        for node in ast.parse(inspect.getsource(app)).body
        if isinstance(node, ast.FunctionDef)
    }
    texts[function_table.API] = "Serve the routes that no other function serves."

    def trigger(function: function_table.Function) -> str:
        if function.name == function_table.API:
            return "HTTP"
        if function.queue:
            return f"queue `{function.queue.name}`"
        routes = ", ".join(f"`{method} {path}`" for method, path in sorted(function.routes))
        return routes or schedules.get(function.name, "direct call")

    rows = (
        (
            f"`{function.name}`",
            trigger(function),
            function.memory_mb,
            function.timeout,
            _with_lean(function.concurrency, function.lean_concurrency),
            texts[function.name],
        )
        for function in function_table.deployed(app.app)
    )
    return _table(("Function", "Trigger", "Memory (MB)", "Timeout (s)", "Concurrency", "What it does"), rows)


def _with_lean(value: int, lean: int) -> str:
    return str(value) if lean == value else f"{value}, lean: {lean}"


def stage_values() -> str:
    """Render the values that differ between the stages."""
    values = stages.mappings()["Stages"]
    rows = ((f"`{key}`", *(values[stage][key] for stage in stages.STAGES)) for key in values["prod"])
    return _table(("Value", *stages.STAGES), rows)


def operations_table() -> str:
    """Render what `make operate` can do."""
    rows = (
        (f"`{name}`", ", ".join(f"`{argument}`" for argument in operation["arguments"]), operation["does"])
        for name, operation in operations.describe().items()
    )
    return _table(("Operation", "Arguments", "What it does"), rows)


def parameters() -> str:
    """Render the parameters of the template that are not settings with the same name and default."""
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    settings = {
        variable.replace("_", "").lower(): _default(fields[name])
        for name, variable in _variables(_settings_class())
    }
    by_stage = {stage: stages.parameters(stage) for stage in stages.STAGES}

    def default(name: str) -> str:
        values = {stage: _code(given[name].get("Default")) for stage, given in by_stage.items()}
        if len(set(values.values())) == 1:
            return values[stages.STAGES[0]]
        return ", ".join(f"{stage}: {value}" for stage, value in values.items())

    rows = (
        (f"`{name}`", default(name), parameter["Description"])
        for name, parameter in by_stage[stages.STAGES[0]].items()
        if settings.get(name.lower()) != default(name)
    )
    return _table(("Parameter", "Default", "Meaning"), rows)


def _code(default: object) -> str:
    if default is None:
        return "required"
    return f"`{default}`" if default != "" else "none"


def class_diagram() -> str:
    """Render the tables, their columns and their foreign keys as a Mermaid class diagram."""
    tables = metadata.sorted_tables
    lines = ["```mermaid", "classDiagram", "    direction LR"]
    for table in tables:
        lines += [f"    class {table.name} {{", *(f"        {_member(c)}" for c in table.columns), "    }"]
    lines += sorted(
        f"    {_association(table, key)}" for table in tables for key in table.foreign_key_constraints
    )
    return "\n".join([*lines, "```"])


def _member(column: Column[Any]) -> str:
    kind = column.type.compile(dialect=_DIALECT).lower()
    marks = [
        mark
        for mark, holds in (
            ("PK", column.primary_key),
            ("FK", column.foreign_keys),
            ("nullable", column.nullable),
            ("generated", column.computed),
        )
        if holds
    ]
    return " ".join([kind.replace("timestamp with time zone", "timestamptz"), column.name, *marks])


def _association(table: Table, key: ForeignKeyConstraint) -> str:
    columns = list(key.columns)
    unique = [table.primary_key, *(c for c in table.constraints if isinstance(c, UniqueConstraint))]
    source = "0..1" if any(set(constraint.columns) <= set(columns) for constraint in unique) else "*"
    target = "0..1" if any(column.nullable for column in columns) else "1"
    names = ", ".join(column.name for column in columns)
    return f'{table.name} "{source}" --> "{target}" {key.referred_table.name} : {names}'


def indexes() -> str:
    """Render the unique constraints and the indexes, with their conditions."""
    rows = (row for table in metadata.sorted_tables for row in sorted(_indexes(table)))
    return _table(("Table", "Index", "Unique", "Columns and condition"), rows)


def _indexes(table: Table) -> Iterator[tuple[str, ...]]:
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            columns = ", ".join(column.name for column in constraint.columns)
            yield f"`{table.name}`", f"`{constraint.name}`", "yes", f"`({columns})`"
    for index in table.indexes:
        statement = str(CreateIndex(index).compile(dialect=_DIALECT))
        definition = statement.partition(f" ON {table.name} ")[2]
        yield f"`{table.name}`", f"`{index.name}`", "yes" if index.unique else "", f"`{definition}`"


RENDERERS: dict[str, Callable[[], str]] = {
    "settings": settings,
    "functions": functions,
    "stages": stage_values,
    "operations": operations_table,
    "parameters": parameters,
    "class-diagram": class_diagram,
    "indexes": indexes,
    "domain-events": domain_event_docs.render,
}


def _table(header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", r"\|")


def update(text: str) -> tuple[str, list[str]]:
    """Return a text with its sections rendered, and the names of the sections that were stale.

    Raises:
        BadMarker
    """
    stale = []

    def render(section: re.Match[str]) -> str:
        name = section[2]
        if name not in RENDERERS:
            raise BadMarker(f"unknown section {name}; choose from {', '.join(RENDERERS)}")
        rendered = f"{section[1]}\n{RENDERERS[name]()}\n\n{section[3]}"
        if rendered != section[0]:
            stale.append(name)
        return rendered

    updated, count = _SECTION.subn(render, text)
    if count != text.count(_OPENING):
        raise BadMarker("a section has no <!-- end generated -->")
    return updated, stale


def update_all(folder: Path, *, check: bool = False) -> list[str]:
    """Rewrite the files of a folder, unless `check` is set. Return the sections that were stale.

    Raises:
        BadMarker
    """
    found = []
    for path in sorted(folder.glob("*.md")):
        try:
            updated, stale = update(path.read_text())
        except BadMarker as error:
            raise BadMarker(f"{path.name}: {error}") from None
        if stale and not check:
            path.write_text(updated)
        found += [f"{path.name}: {name}" for name in stale]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m infra.docs")
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit with 1 if a section is stale"
    )
    check = parser.parse_args().check
    try:
        stale = update_all(DOCS, check=check)
    except BadMarker as error:
        sys.exit(str(error))
    print("\n".join(stale) or "All generated sections are up to date.")
    if check and stale:
        sys.exit("These sections are stale. Run: make docs")


if __name__ == "__main__":
    main()
