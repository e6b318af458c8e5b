"""Removes the data of all runs of this checkout, unless one of them is in progress."""

import contextlib
import shutil

from infra.local import postgres_binaries, run_dir, stale_server


def main() -> None:
    folders = run_dir.folders()
    with contextlib.ExitStack() as stack:
        for folder in folders:
            refusal = f"A run uses {folder}. Stop the run first, then try again."
            stack.enter_context(run_dir.locked(folder, refusal))
        for folder in folders:
            for data in postgres_binaries.data_folders(folder / run_dir.DATA):
                stale_server.remove(data, print)
                shutil.rmtree(data)
            shutil.rmtree(folder)
            print(f"Removed {folder}")
    _remove_copies()
    with contextlib.suppress(OSError):  # the folder is missing, or contains other files
        run_dir.LOCAL.rmdir()
    if not folders:
        print("There is nothing to remove.")


def _remove_copies() -> None:
    """Remove the copies of PostgreSQL's programs, and their folder if it is empty then."""
    folder = postgres_binaries.public_folder()
    for copy in folder.glob("postgresql-*"):
        shutil.rmtree(copy)
        print(f"Removed {copy}")
    with contextlib.suppress(OSError):
        folder.rmdir()
