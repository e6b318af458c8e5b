"""The zip: compiled, and reproducible (the same content gives the same bytes)."""

import os
import subprocess
import zipfile
from pathlib import Path

from infra.aws.package import LAMBDA_FOLDER

_EARLIEST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def compile_all(folder: Path, interpreter: str) -> None:
    """Compile all modules without a check against the source, which cannot change in Lambda.

    One process, a fixed order and a fixed hash seed make the result reproducible.
    """
    subprocess.run(
        [
            *(interpreter, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
            *("-s", str(folder), "-p", LAMBDA_FOLDER, str(folder)),
        ],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        check=True,
    )


def pack(folder: Path, archive: Path) -> None:
    """Zip a folder, sorted by name and without times, owners and permissions."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EARLIEST_ZIP_TIME)
                entry.external_attr = 0o100644 << 16
                entry.create_system = 3  # Unix, on every platform
                packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
