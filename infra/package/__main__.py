"""`make package`: builds what is deployed."""

import argparse
import sys
from pathlib import Path

from infra.package import ARCHIVE, TEMPLATE
from infra.package.build import build
from infra.package.target import RUNTIME_VERSION, NoInterpreter, of_lambda
from infra.template.stages import STAGES


def main() -> None:
    arguments = _arguments()
    try:
        target = of_lambda(None if arguments.bytecode == "off" else arguments.runtime_python)
    except NoInterpreter as error:
        sys.exit(str(error))
    folder = Path("build") / arguments.stage
    build(arguments.stage, target, folder)
    megabytes = (folder / ARCHIVE).stat().st_size / 1e6
    print(f"{folder / TEMPLATE}")
    print(f"{folder / ARCHIVE}  {megabytes:.1f} MB, Python {RUNTIME_VERSION}, arm64")
    if target.interpreter is None:
        print("It has no compiled files: a cold start compiles what it imports, about three times the time.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make package", description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--runtime-python", default=f"python{RUNTIME_VERSION}")
    parser.add_argument("--bytecode", choices=("on", "off"), default="on")
    return parser.parse_args()


if __name__ == "__main__":
    main()
