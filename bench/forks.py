"""Processes forked from this one, in which what was imported is there already, and lines to talk to them."""

import contextlib
import gc
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection

Work = Callable[[Connection], None]
"""What a process does: it sends something once it is ready, and ends when its line is closed (EOFError)."""


@contextlib.contextmanager
def forks(works: Iterable[Work]) -> Iterator[list[Connection]]:
    """Run a process for each until the block ends, and give their lines once all are ready.

    Raises:
        RuntimeError: One of them does not start.
    """
    context = multiprocessing.get_context("fork")
    lines: list[Connection] = []
    running = []
    try:
        for work in works:
            ours, theirs = context.Pipe()
            process = context.Process(target=_run, args=(work, theirs, [*lines, ours]), daemon=True)
            process.start()
            theirs.close()
            lines.append(ours)
            running.append(process)
        for line in lines:
            if not line.poll(60):
                raise RuntimeError("a container does not start")
            line.recv()
        yield lines
    finally:
        for line in lines:
            line.close()
        for process in running:
            process.join(10)
            if process.is_alive():
                process.kill()


def _run(work: Work, line: Connection, others: Sequence[Connection]) -> None:
    for other in others:
        other.close()  # so that they end when this process's starter closes them
    gc.freeze()  # what was imported is not looked through by each process
    with contextlib.suppress(EOFError):
        work(line)
