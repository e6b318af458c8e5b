"""Chalice's own step: the template of the app with the fragment merged in, and the app's files."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import app
from infra.template.fragment import fragment

CHECKOUT = Path(__file__).parents[2]


def run(stage: str, work: Path) -> tuple[dict[str, Any], Path]:
    """Run `chalice package` on a copy of the app; return the template, and the folder of the app's files.

    A copy without requirements: Chalice would fetch dependencies for the Python that runs it, and ship
    whatever lies in `chalicelib`.
    """
    project, made = work / "project", work / "chalice"
    _copy_app(project)
    merged = work / "fragment.json"
    merged.write_text(json.dumps(fragment(app.app, stage)))
    subprocess.run(
        [
            *(str(Path(sys.executable).with_name("chalice")), "--project-dir", str(project)),
            *("package", "--stage", stage, "--merge-template", str(merged), str(made)),
        ],
        # Chalice wants a region; nothing of it is in the template.
        env={**_without_aws(), "AWS_DEFAULT_REGION": "us-east-1"},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    files = work / "package"
    with zipfile.ZipFile(made / "deployment.zip") as packed:
        packed.extractall(files)
    template: dict[str, Any] = json.loads((made / "sam.json").read_text())
    return template, files


def _copy_app(project: Path) -> None:
    project.mkdir()
    shutil.copy(CHECKOUT / "app.py", project)
    shutil.copytree(CHECKOUT / "chalicelib", project / "chalicelib", ignore=clutter)
    (project / ".chalice").mkdir()
    shutil.copy(CHECKOUT / ".chalice/config.json", project / ".chalice")
    (project / "requirements.txt").touch()


def clutter(_folder: str, names: list[str]) -> set[str]:
    """Name what `chalicelib` may have in it by chance, such as a `.env`."""
    return {n for n in names if n.startswith(".") or n == "__pycache__" or n.endswith((".pyc", "~"))}


def _without_aws() -> dict[str, str]:
    """Leave out a person's own AWS, which would be asked for a profile that may not be there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**kept, "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
