"""The generated sections of the docs are complete and current."""

import re
from pathlib import Path

import pytest

from chalicelib.platform.database.engine import metadata
from chalicelib.platform.settings import Settings
from infra import docs
from infra.aws import function_table
from infra.aws.template import stages

STALE = "# Title\n<!-- generated: settings -->\nold\n<!-- end generated -->\nThe end.\n"


class RecordingEnvironment(dict[str, str]):
    """An environment that records which variables are read."""

    def __init__(self) -> None:
        super().__init__(DATABASE_URL="postgresql://", JWT_SECRET="s" * 32)
        self.read: set[str] = set()

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        self.read.add(name)
        return super().get(name, default)


def cells(table: str, column: int) -> list[str]:
    return [line.split("|")[column].strip(" `") for line in table.splitlines()[2:]]


def test_the_docs_are_current() -> None:
    assert docs.update_all(docs.DOCS, check=True) == []


def test_all_settings_are_listed_and_described() -> None:
    environment = RecordingEnvironment()
    Settings.read(environment)
    assert set(cells(docs.settings(), 1)) == environment.read
    assert all(cells(docs.settings(), 3))


def test_all_functions_are_listed_and_described() -> None:
    table = docs.functions()
    assert cells(table, 1) == [function.name for function in function_table.TABLE]
    assert all(cells(table, 2))
    assert all(cells(table, 6))


def test_every_parameter_is_listed_or_is_a_setting() -> None:
    settings = {variable.strip("`").replace("_", "").lower() for variable in cells(docs.settings(), 1)}
    listed = cells(docs.parameters(), 1)
    assert {name for name in stages.parameters("dev") if name.lower() not in settings} <= set(listed)
    assert "MailSender" in listed
    assert {"MaxOpenHolds", "LoginFailures"} <= set(stages.parameters("dev")) - set(listed)


def test_the_class_diagram_has_all_columns_and_foreign_keys() -> None:
    diagram = docs.class_diagram()
    for table in metadata.tables.values():
        assert f"class {table.name} {{" in diagram
        assert all(f" {column.name}" in diagram for column in table.columns)
    assert diagram.count(" --> ") == sum(
        len(table.foreign_key_constraints) for table in metadata.tables.values()
    )
    assert 'credentials "0..1" --> "1" users : user_id' in diagram


def test_all_indexes_are_listed_with_their_conditions() -> None:
    names = {index.name for table in metadata.tables.values() for index in table.indexes}
    assert names <= set(cells(docs.indexes(), 2))
    assert "`(event_id, user_id, sole) WHERE status IN ('pending', 'confirmed')`" in docs.indexes()


def test_a_stale_section_is_rewritten(tmp_path: Path) -> None:
    file = tmp_path / "operations.md"
    file.write_text(STALE)
    assert docs.update_all(tmp_path, check=True) == ["operations.md: settings"]
    assert file.read_text() == STALE
    assert docs.update_all(tmp_path) == ["operations.md: settings"]
    assert docs.settings() in file.read_text()
    assert (file.read_text()[:8], file.read_text()[-9:]) == ("# Title\n", "The end.\n")
    assert docs.update_all(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (STALE.replace("settings", "songs"), "unknown section songs"),
        (STALE.replace("end generated", ""), "no"),
    ],
)
def test_a_bad_marker_is_reported(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "operations.md").write_text(text)
    with pytest.raises(docs.BadMarker, match=rf"^operations.md: .*{reason}"):
        docs.update_all(tmp_path)


def anchors(page: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_links_between_pages_lead_to_a_section() -> None:
    pages = {path: path.read_text() for path in [*docs.DOCS.parent.glob("*.md"), *docs.DOCS.rglob("*.md")]}
    broken = [
        (path.name, link)
        for path, text in pages.items()
        for link in re.findall(r"\]\(([^)\s:]*\.md(?:#[^)]*)?|#[^)]*)\)", text)
        for target, _, anchor in [link.partition("#")]
        for page in [(path.parent / target).resolve() if target else path]
        if not page.exists() or (anchor and anchor not in anchors(pages[page]))
    ]
    assert broken == []


@pytest.mark.parametrize("page", ["deployment", "runbook", "operations"])
def test_pages_of_operators_stay_short(page: str) -> None:
    assert len((docs.DOCS / f"{page}.md").read_text().splitlines()) < 250
