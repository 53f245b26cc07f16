"""The command line: ``nearfield demo | build | search | tune | info | verify | doctor``.

A command is a module of this package with three names: ``SUMMARY``, ``configure(parser)`` and
``run(arguments, output)``. To add one, write the module and add its name to `COMMANDS`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

__all__ = ["COMMANDS", "main"]

#: Every command, in the order of the help text; each is a module of this package.
COMMANDS = ("demo", "build", "search", "tune", "info", "verify", "doctor")

_FAILED = 2
_INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """Errors are one line; argparse's own come with a page of usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(_FAILED, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default ``sys.argv[1:]``.

    Returns
    -------
    int
        0 when all went well, 2 after an error, 130 after Ctrl-C.
    """
    from .output import Output

    try:
        parsed = _build_parser().parse_args(arguments)
    except SystemExit as leaving:  # --help, --version, or a usage error already printed
        return leaving.code if isinstance(leaving.code, int) else _FAILED
    try:
        code: int = parsed.run(parsed, Output(parsed.json)) or 0
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("nearfield: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader left (`| head`): that is no error, but Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except _expected_errors() as error:
        print(f"nearfield {parsed.command}: error: {_one_line(error)}", file=sys.stderr)
        return _FAILED


def _build_parser() -> argparse.ArgumentParser:
    from .. import __version__

    parser = _Parser(
        prog="nearfield",
        description="Exact nearest-neighbour search for embeddings and texts.",
        epilog="`nearfield COMMAND --help` tells more. NEARFIELD_PROGRESS=0 turns bars off.",
    )
    parser.add_argument("--version", action="version", version=f"nearfield {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", title="commands"
    )
    for name in COMMANDS:
        module = importlib.import_module(f".{name}", __name__)
        command = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument("--json", action="store_true", help="print the result as JSON")
        module.configure(command)
        command.set_defaults(run=module.run)
    return parser


def _expected_errors() -> tuple[type[Exception], ...]:
    from ..errors import NearfieldError

    return (NearfieldError, ValueError, TypeError, KeyError, OSError, ImportError, MemoryError)


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    text = error.args[0] if isinstance(error, KeyError) and error.args else error
    return " ".join(str(text).split()) or type(error).__name__
