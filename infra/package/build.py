"""All steps of making a package."""

import json
import tempfile
from pathlib import Path

from infra.package import ARCHIVE, TEMPLATE, archive, chalice_step, dependencies
from infra.package.target import Target

LARGEST = 50 * 10**6
"""Bytes of a zip that Lambda takes."""
LARGEST_UNPACKED = 250 * 10**6


class TooLarge(Exception):
    """Lambda would not take the package."""


def build(stage: str, target: Target, folder: Path) -> None:
    """Make the template and the zip of a stage in a folder.

    Raises:
        TooLarge
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="event-booking-package-") as work:
        template, files = chalice_step.run(stage, Path(work))
        dependencies.install(chalice_step.CHECKOUT / "requirements.txt", target, files)
        if target.interpreter:
            archive.compile_all(files, target.interpreter)
        archive.pack(files, folder / ARCHIVE)
        unpacked = sum(path.stat().st_size for path in files.rglob("*") if path.is_file())
    (folder / TEMPLATE).write_text(json.dumps(template, indent=1, sort_keys=True) + "\n")
    packed = (folder / ARCHIVE).stat().st_size
    if packed > LARGEST or unpacked > LARGEST_UNPACKED:
        raise TooLarge(f"The package has {packed} bytes, and {unpacked} unpacked")
