"""Turns into a PostgreSQL program that runs as the given account and ends when its starter ends.

Run by path as a program of its own, `child.py STARTER_PID UID:GID|- PROGRAM ARGUMENT...`, because
doing the same between fork and exec (`preexec_fn`) is not safe in a process that has threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # from linux/prctl.h


def become(account: str) -> None:
    """Change to the account `UID:GID`, and out of all its supplementary groups."""
    uid, gid = (int(number) for number in account.split(":"))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def end_with(starter: int) -> None:
    """Ask Linux for an interrupt, to PostgreSQL a fast shutdown, when the starting thread ends."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
    if os.getppid() != starter:  # it ended before the request was made
        sys.exit("the process that started this one has ended")


def main() -> None:
    starter, account, *command = sys.argv[1:]
    if account != "-":
        become(account)
    end_with(int(starter))  # last, because a change of account forgets the request
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


main()
