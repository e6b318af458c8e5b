"""`make bench`: measures the app side by side with what it is compared with, and writes a report."""

import argparse
import sys
from pathlib import Path

from bench import report
from bench.parts import PARTS, measure
from bench.scale import FULL, QUICK

RESULTS = Path("bench/results")


def main() -> int:
    arguments = _arguments()
    scale = QUICK if arguments.quick else FULL
    on = report.machine()
    parts = []
    for name in arguments.parts or PARTS:
        _say(f"{PARTS[name]} ...")
        part = measure(name, scale)
        if part.failure:
            _say(f"{part.title}: {part.failure}")
        parts.append(part)
    report.write(arguments.results, on, parts, quick=arguments.quick)
    print(report.table(on, parts, quick=arguments.quick))
    print(f"Written to {arguments.results}")
    failed = [part for part in parts if part.failure]
    if not arguments.quick:
        missed = report.missed(parts)
        _say(f"{len(missed)} figures are not as they are wanted." if missed else "All is as it is wanted.")
    return 1 if failed else 0  # a figure that was missed is no failure: the machine has its say in it


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="a little of everything: does it work?")
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"a folder (default {RESULTS})")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - PARTS.keys():
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    return arguments


def _say(said: str) -> None:
    print(said, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
