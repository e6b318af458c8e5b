"""The import contracts report a violation in a new file, although pyproject.toml does not name that file."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
LINT = Path(sys.executable).with_name("lint-imports")
NEW_FILE = "chalicelib/events/waitlist.py"

pytestmark = pytest.mark.tools


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the code and of the contracts."""
    for package in ("chalicelib", "infra"):
        shutil.copytree(CHECKOUT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(checkout: Path) -> subprocess.CompletedProcess[str]:
    command = [str(LINT), "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)  # noqa: S603 (ours)


@pytest.mark.parametrize(
    ("file", "line", "reported"),
    [
        (NEW_FILE, "import boto3", "waitlist -> boto3"),
        (NEW_FILE, "import stripe", "waitlist -> stripe"),
        (NEW_FILE, "import msgspec", "waitlist -> msgspec"),
        (NEW_FILE, "from chalice.app import Chalice", "waitlist -> chalice"),
        (NEW_FILE, "from jinja2 import Environment", "waitlist -> jinja2"),
        (NEW_FILE, "import segno", "waitlist -> segno"),
        (NEW_FILE, "from reportlab.pdfgen import canvas", "waitlist -> reportlab"),
        (NEW_FILE, "from infra.local import postgres", "waitlist -> infra.local.postgres"),
        (NEW_FILE, "from chalicelib.bookings import booking", "waitlist -> chalicelib.bookings.booking"),
        ("chalicelib/platform/waitlist.py", "import chalicelib.events", "waitlist -> chalicelib.events"),
        ("chalicelib/waitlists/__init__.py", "", "not listed as layers:\n\n- chalicelib.waitlists"),
        ("chalicelib/events/models.py", "from chalicelib.events import search", ".models -> .search"),
        ("infra/stripe_fake/waitlist.py", "import chalicelib", "waitlist -> chalicelib"),
    ],
)
def test_a_violation_is_reported(checkout: Path, file: str, line: str, reported: str) -> None:
    path = checkout / file
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as code:
        code.write(f"{line}\n")

    result = lint(checkout)

    assert result.returncode == 1
    assert reported in result.stdout


def test_a_new_file_of_a_feature_needs_no_entry(checkout: Path) -> None:
    imports = "from chalicelib.events.models import events\nfrom chalicelib.users import profile\n"
    (checkout / NEW_FILE).write_text(imports)

    result = lint(checkout)

    assert result.returncode == 0, result.stdout
    assert "0 broken" in result.stdout
