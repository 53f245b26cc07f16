"""Tell what an index file or a retriever folder holds."""

from __future__ import annotations

import argparse
import os
from typing import Any

from .output import Output, size

SUMMARY = "tell what an index file or a retriever folder holds"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("path", metavar="PATH", help="index file or retriever folder")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Run the command."""
    report = describe(arguments.path)
    rows = [(key, _spelled(key, value)) for key, value in report.items() if key != "sections"]
    output.table(("property", "value"), rows)
    sections = report.get("sections") or []
    if sections:
        output.heading("Sections")
        columns = ("name", "element", "rows", "cols", "bytes", "offset", "crc32c")
        output.table(columns, [[_cell(key, section) for key in columns] for section in sections])
    output.result(report)
    return 0


def describe(path: str) -> dict[str, Any]:
    """Return what `path` holds, every byte of it checked on the way.

    Raises
    ------
    CorruptFileError
        It is damaged, or no nearfield file.
    OSError
        It cannot be read.
    """
    if os.path.isdir(path):
        return _describe_retriever(path)
    return {"type": "index", "path": path} | _describe_index(path)


def _describe_index(path: str) -> dict[str, Any]:
    from .. import _core

    # The reason why a file cannot be read comes from Python; a pipe must not be waited for.
    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    found = dict(_core.verify(os.fsencode(path)))
    sections = found.pop("sections", [])
    return found | {"sections": [dict(section) for section in sections]}


def _describe_retriever(folder: str) -> dict[str, Any]:
    from ..retriever_files import read_manifest, read_retriever

    manifest = read_manifest(folder)
    saved = read_retriever(folder)
    encoder = saved.fingerprint or {}
    return (
        {"type": "retriever", "path": folder, "texts": len(saved.entries)}
        | {f"encoder {key}": value for key, value in encoder.items()}
        | _describe_index(os.path.join(folder, manifest["index"]))
    )


def _spelled(key: str, value: Any) -> str:
    if isinstance(value, bool | str) or value is None:
        return str(value)
    if isinstance(value, int):
        return f"{value:,} ({size(value)})" if "bytes" in key and value >= 1000 else f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        numbers = all(isinstance(one, int) for one in value)
        return ", ".join(f"{one:,}" for one in value) if numbers else " + ".join(map(str, value))
    return str(value)


def _cell(key: str, section: dict[str, Any]) -> str:
    value = section.get(key, "")
    return f"{value:08x}" if key == "crc32c" and isinstance(value, int) else str(value)
