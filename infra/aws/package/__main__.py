"""Build the package that `make deploy` deploys."""

import argparse
import sys
from pathlib import Path

from infra.aws.package import ARCHIVE, TEMPLATE
from infra.aws.package.build import build
from infra.aws.package.target import RUNTIME_VERSION, NoInterpreter, lambda_target
from infra.aws.template.stages import STAGES


def main() -> None:
    arguments = _arguments()
    try:
        target = lambda_target(None if arguments.bytecode == "off" else arguments.runtime_python)
    except NoInterpreter as error:
        sys.exit(str(error))
    folder = Path("build") / arguments.stage
    build(arguments.stage, target, folder)
    megabytes = (folder / ARCHIVE).stat().st_size / 1e6
    print(folder / TEMPLATE)
    print(f"{folder / ARCHIVE}  {megabytes:.1f} MB, Python {RUNTIME_VERSION}, arm64")
    if target.interpreter is None:
        print(
            "There are no compiled files: a cold start compiles its imports and takes about 3 times as long."
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make package", description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--runtime-python", default=f"python{RUNTIME_VERSION}", help="compiles the package")
    parser.add_argument("--bytecode", choices=("on", "off"), default="on")
    return parser.parse_args()


if __name__ == "__main__":
    main()
