"""The commands of the embedded stack: `python -m infra.local run` and `reset`."""

import importlib
import signal
import sys

COMMANDS = ("run", "reset")


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        print(f"Usage: python -m infra.local {'|'.join(COMMANDS)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # quiet exit on Ctrl-C during the imports
    command = importlib.import_module(f"infra.local.{arguments[0]}")
    startup = importlib.import_module("infra.local.startup")
    try:
        command.main()
    except startup.CannotStart as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(
            startup.explain("The command has failed", str(error), startup.CHECKOUT),
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
