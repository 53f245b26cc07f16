"""Check index files and retriever folders completely: structure, every checksum, every text.

The exit code is 0 when all are whole and 2 when one is not; all of them are checked.
"""

from __future__ import annotations

import argparse
import sys

from ..errors import NearfieldError
from .info import describe
from .output import Output, size

SUMMARY = "check index files and retriever folders completely"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("paths", metavar="PATH", nargs="+", help="index file or retriever folder")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Run the command."""
    results = []
    for path in arguments.paths:
        try:
            found = describe(path)
        except (NearfieldError, OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            reason = " ".join(reason.split())
            results.append({"path": path, "ok": False, "error": reason})
            prefix = "" if reason.startswith((path, repr(path))) else f"{path}: "
            print(f"nearfield verify: error: {prefix}{reason}", file=sys.stderr)
            continue
        n_bytes = int(found.get("file_bytes", 0))
        stored = {key: found.get(key) for key in ("quantizer", "refine")}
        results.append({"path": path, "ok": True, "file_bytes": n_bytes} | stored)
        kinds = " and ".join(kind for kind in stored.values() if kind)
        output.line(f"{path}: whole ({size(n_bytes)}, {kinds}, {len(found['sections'])} sections)")
    output.result({"results": results})
    return 0 if all(result["ok"] for result in results) else 2
