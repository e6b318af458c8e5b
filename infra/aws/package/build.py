"""All steps of the build."""

import json
import tempfile
from pathlib import Path

from infra.aws.package import ARCHIVE, TEMPLATE, archive, chalice_package, dependencies
from infra.aws.package.target import Target

# Lambda's limits.
_MAX_ZIP_BYTES = 50 * 10**6
_MAX_UNZIPPED_BYTES = 250 * 10**6


class TooLarge(Exception):
    """Lambda does not accept a package of this size."""


def build(stage: str, target: Target, folder: Path) -> None:
    """Write a stage's template and zip to a folder.

    Raises:
        TooLarge
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="event-booking-package-") as work:
        template, files = chalice_package.run(stage, Path(work))
        dependencies.install(chalice_package.CHECKOUT / "requirements-lock.txt", target, files)
        if target.interpreter:
            archive.compile_all(files, target.interpreter)
        archive.pack(files, folder / ARCHIVE)
        unzipped_bytes = sum(path.stat().st_size for path in files.rglob("*") if path.is_file())
    (folder / TEMPLATE).write_text(json.dumps(template, indent=1, sort_keys=True) + "\n")
    zip_bytes = (folder / ARCHIVE).stat().st_size
    if zip_bytes > _MAX_ZIP_BYTES or unzipped_bytes > _MAX_UNZIPPED_BYTES:
        raise TooLarge(f"The package is too large for Lambda: {zip_bytes} bytes, {unzipped_bytes} unzipped")
