"""Runs a PostgreSQL program as the given account, and ends it when its parent process ends.

Run by path as a program of its own: `supervisor.py PARENT_PID UID:GID|- PROGRAM ARGUMENT...`. A
`preexec_fn` could do the same between fork and exec, but is not safe in a process with threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # from linux/prctl.h


def switch_account(account: str) -> None:
    """Change to the account `UID:GID`, and leave all supplementary groups."""
    uid, gid = (int(number) for number in account.split(":"))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def end_with_parent(parent: int) -> None:
    """Have Linux send SIGINT, PostgreSQL's fast shutdown, when the thread that started this process ends."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
    if os.getppid() != parent:  # the parent ended before the call
        sys.exit("the process that started this one has ended")


def main() -> None:
    parent, account, *command = sys.argv[1:]
    if account != "-":
        switch_account(account)
    end_with_parent(int(parent))  # last, because a change of account clears the setting
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


main()
