"""The commands of the embedded stack: `python -m infra.local run`, and `reset`."""

import importlib
import signal
import sys

COMMANDS = ("run", "reset")


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        print(f"Usage: python -m infra.local {'|'.join(COMMANDS)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while the imports run ends it quietly
    command = importlib.import_module(f"infra.local.{arguments[0]}")
    installation = importlib.import_module("infra.local.installation")
    try:
        command.main()
    except installation.CannotStart as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(
            installation.explain("It does not work", str(error), installation.CHECKOUT),
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
