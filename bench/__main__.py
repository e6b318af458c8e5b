"""Measure the app side by side with its references, and print tables."""

import argparse
import sys
import traceback

from bench import report
from bench.scale import FULL, QUICK
from bench.suites import SUITES, measure


def main() -> int:
    arguments = _arguments()
    if arguments.list:
        print(_listing())
        return 0
    scale = QUICK if arguments.quick else FULL
    print(report.machine())
    if scale.quick:
        print("A quick run: it shows that everything works. Its figures mean nothing.")
    failed = False
    for name in arguments.suites or SUITES:
        print(f"\n### {SUITES[name]}\n", flush=True)
        try:
            print(report.table(measure(name, scale), targets=not scale.quick), flush=True)
        except Exception as error:  # noqa: BLE001 (the other suites are still measured)
            traceback.print_exc()
            print(f"Not measured: {type(error).__name__}: {error}")
            failed = True
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog=f"suites:\n{_listing()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("suites", nargs="*", metavar="suite", help="a suite listed below (default: all)")
    parser.add_argument("--quick", action="store_true", help="a little of everything, to see that it works")
    parser.add_argument("--list", action="store_true", help="list the suites and exit")
    arguments = parser.parse_args()
    if unknown := set(arguments.suites) - SUITES.keys():
        parser.error(f"unknown suite: {', '.join(sorted(unknown))} (see --list)")
    return arguments


def _listing() -> str:
    return "\n".join(f"  {name:15}{title}" for name, title in SUITES.items())


if __name__ == "__main__":
    sys.exit(main())
