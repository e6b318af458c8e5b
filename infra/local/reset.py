"""Removes what all runs of this checkout have kept, unless one of them is running."""

import contextlib
import shutil

from infra.local import installation, orphans, state


def main() -> None:
    folders = state.folders()
    with contextlib.ExitStack() as stack:
        for folder in folders:
            refusal = f"A run holds {folder}. Stop it first, then try again."
            stack.enter_context(state.holding(folder, refusal))
        for folder in folders:
            wanted = folder / state.DATA
            for data in (wanted, installation.moved_data_folder(wanted)):
                if data.exists():
                    orphans.clear(data, print)
                    shutil.rmtree(data)
            shutil.rmtree(folder)
            print(f"Removed {folder}")
    _remove_copies()
    with contextlib.suppress(OSError):  # it is not there, or holds other things
        state.LOCAL.rmdir()
    if not folders:
        print("There is nothing to remove.")


def _remove_copies() -> None:
    """Remove the copies of PostgreSQL's programs, and their folder if nothing else is in it."""
    refuge = installation.refuge_path()
    for copy in refuge.glob("postgresql-*"):
        shutil.rmtree(copy)
        print(f"Removed {copy}")
    with contextlib.suppress(OSError):
        refuge.rmdir()
