"""Runs `chalice package`, which makes the template and collects the app's files."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import app
from infra.aws.package import AUTHORITIES
from infra.aws.template.merge_template import merge_template

CHECKOUT = Path(__file__).parents[3]


def run(stage: str, work: Path) -> tuple[dict[str, Any], Path]:
    """Package a copy of the app. Return the template and the folder with the app's files.

    The copy has no requirements, because Chalice would install them for the Python that runs it. It has no
    stray files either, because Chalice ships everything in `chalicelib`.
    """
    project, output, files = work / "project", work / "chalice", work / "package"
    _copy_app(project)
    merged = work / "merge.json"
    merged.write_text(json.dumps(merge_template(app.app, stage)))
    subprocess.run(
        [
            *(str(Path(sys.executable).with_name("chalice")), "--project-dir", str(project)),
            *("package", "--stage", stage, "--merge-template", str(merged), str(output)),
        ],
        # Chalice requires a region, but does not write it to the template.
        env={**_without_aws_settings(), "AWS_DEFAULT_REGION": "us-east-1"},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    with zipfile.ZipFile(output / "deployment.zip") as packed:
        packed.extractall(files)
    shutil.copy(Path(__file__).with_name(AUTHORITIES), files)
    template: dict[str, Any] = json.loads((output / "sam.json").read_text())
    return template, files


def _copy_app(project: Path) -> None:
    project.mkdir()
    shutil.copy(CHECKOUT / "app.py", project)
    shutil.copytree(CHECKOUT / "chalicelib", project / "chalicelib", ignore=stray_files)
    (project / ".chalice").mkdir()
    shutil.copy(CHECKOUT / ".chalice/config.json", project / ".chalice")
    (project / "requirements.txt").touch()


def stray_files(_folder: str, names: list[str]) -> set[str]:
    """List files that must not be shipped, such as `.env` and compiled or backup files."""
    return {n for n in names if n.startswith(".") or n == "__pycache__" or n.endswith((".pyc", "~"))}


def _without_aws_settings() -> dict[str, str]:
    """Return the environment without the developer's AWS settings, whose profile may not exist."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**others, "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
