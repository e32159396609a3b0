"""The commands: parse, call, print.

Every fault that a person can mend ends as one line on the error stream and exit code 2.
"""

import sys

import typer

from temperance.cli.app import app
from temperance.errors import InputError

__all__ = ["main"]

INTERRUPTED, TERMINATED = 130, 143
ENDED = {INTERRUPTED: "interrupted", TERMINATED: "told to end"}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line.

    Args:
        arguments: instead of those of the process.
    """
    try:
        code = app(arguments, standalone_mode=False)
    except InputError as error:
        _end(str(error), 2)
    except typer.TyperException as error:
        message = error.format_message()
        if not message:  # no command was given, and the help has been printed
            sys.exit(2)
        _end(f"{message} (see temperance --help)", 2)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        _end(f"{error}; free some space, or give other permissions", 2)
    if code in ENDED:
        _end(f"{ENDED[code]}; what was finished is kept: the same command goes on with it", code)
    sys.exit(code or 0)


def _end(message: str, code: int) -> None:
    print(f"temperance: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
