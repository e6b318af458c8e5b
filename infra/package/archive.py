"""The archive: compiled where it can be, and the same bytes for the same content."""

import os
import subprocess
import zipfile
from pathlib import Path

_NO_TIME = (1980, 1, 1, 0, 0, 0)
"""The first that a zip can tell."""
_IN_LAMBDA = "/var/task"


def compile_all(folder: Path, interpreter: str) -> None:
    """Compile all modules for good: Lambda's copy cannot change, so nobody has to compare it with the source.

    One process in a fixed order and with a fixed hash seed, else the files would differ from run to run.
    """
    subprocess.run(
        [
            *(interpreter, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
            *("-s", str(folder), "-p", _IN_LAMBDA, str(folder)),
        ],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        check=True,
    )


def pack(folder: Path, archive: Path) -> None:
    """Zip a folder, in the order of names and without times, owners and rights."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _NO_TIME)
                entry.external_attr = 0o100644 << 16
                entry.create_system = 3  # Unix, wherever it is packed
                packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
