"""The files of a saved retriever: an index file, the texts as JSON lines, and a manifest.

A save writes the index and the texts under fresh names and then replaces ``retriever.json``, which
names them: until that one rename the old retriever is whole, after it the new one is. Files of the
old one are deleted last. Nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .durable import replace_durably, write_durably
from .errors import CorruptFileError

__all__ = ["MANIFEST", "Entry", "Saved", "read_manifest", "read_retriever", "write_retriever"]

MANIFEST = "retriever.json"
_FORMAT = 1
_MANIFEST_VALUES = {
    "texts": r"texts-[0-9a-f]{8}\.jsonl",
    "index": r"index-[0-9a-f]{8}\.nf",
    "count": r"\d{1,18}",
    "next_label": r"\d{1,18}",
    "sha256": r"[0-9a-f]{64}",
}
_READ_ATTEMPTS = 5  # a save running beside a load may delete the files just named


class Entry(NamedTuple):
    """What is known about one text."""

    id: str | int
    text: str
    payload: Any


class Saved(NamedTuple):
    """The state of a retriever that outlives it."""

    index: Any
    entries: list[tuple[int, Entry]]
    next_label: int
    fingerprint: Mapping[str, Any] | None


def write_retriever(folder: str, saved: Saved) -> None:
    """Write `saved` into `folder`, all of it or nothing."""
    lines = list(_lines(saved.entries))  # first, so that a bad payload leaves the folder alone
    os.makedirs(folder, exist_ok=True)
    generation = secrets.token_hex(4)
    names = {"index": f"index-{generation}.nf", "texts": f"texts-{generation}.jsonl"}
    manifest = {
        "format": _FORMAT,
        "texts": names["texts"],
        "index": names["index"],
        "count": len(saved.entries),
        "next_label": saved.next_label,
        "sha256": hashlib.sha256(b"".join(lines)).hexdigest(),
        "encoder": saved.fingerprint,
    }
    try:
        saved.index.save(os.path.join(folder, names["index"]))
        write_durably(os.path.join(folder, names["texts"]), lines)
        text = json.dumps(manifest, indent=2, ensure_ascii=False)
        replace_durably(os.path.join(folder, MANIFEST), [text.encode() + b"\n"])
    except BaseException:
        for name in names.values():
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, name))
        raise
    _delete_others(folder, set(names.values()))


def read_manifest(folder: str) -> dict[str, Any]:
    """Return the manifest of `folder`, checked for the keys that are needed."""
    path = os.path.join(folder, MANIFEST)
    with open(path, "rb") as file:
        try:
            manifest = json.loads(file.read())
        except ValueError as error:
            raise CorruptFileError(f"{path}: not JSON ({error}); restore it from a copy") from None
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        got = manifest.get("format") if isinstance(manifest, dict) else type(manifest).__name__
        raise CorruptFileError(
            f"{path}: got format {got!r}, expected {_FORMAT}; it was written by another version or "
            "is not a saved retriever"
        )
    for key, pattern in _MANIFEST_VALUES.items():
        if re.fullmatch(pattern, str(manifest.get(key))) is None:
            raise CorruptFileError(
                f"{path}: {key} is {manifest.get(key)!r}, expected it to match {pattern}"
            )
    return manifest


def read_retriever(folder: str) -> Saved:
    """Read what `write_retriever` wrote, checked against its manifest."""
    from .files import load

    for attempt in range(_READ_ATTEMPTS):
        manifest = read_manifest(folder)
        try:
            with open(os.path.join(folder, manifest["texts"]), "rb") as file:
                data = file.read()
            index = load(os.path.join(folder, manifest["index"]))
            break
        except FileNotFoundError as error:
            if attempt + 1 == _READ_ATTEMPTS or read_manifest(folder) == manifest:
                raise CorruptFileError(
                    f"{os.path.join(folder, MANIFEST)} names {error.filename}, which is missing"
                ) from None
    entries = _parse(folder, manifest, data)
    labels = {label for label, _ in entries}
    stored = set(index.ids.tolist()) if hasattr(index, "ids") else labels
    if labels != stored or len(index) != len(entries):
        raise CorruptFileError(
            f"{folder}: {manifest['index']} holds {len(index)} vectors that do not match the "
            f"{len(entries)} texts of {manifest['texts']}"
        )
    return Saved(index, entries, manifest["next_label"], manifest.get("encoder"))


def _lines(entries: Iterable[tuple[int, Entry]]) -> Iterable[bytes]:
    for label, entry in entries:
        record = {"label": label, **entry._asdict()}
        try:
            yield json.dumps(record, allow_nan=False).encode() + b"\n"
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"payload of {entry.id!r} cannot be saved: {error}; use strings, finite numbers, "
                "booleans, None, lists and dicts"
            ) from None


def _parse(folder: str, manifest: Mapping[str, Any], data: bytes) -> list[tuple[int, Entry]]:
    path = os.path.join(folder, manifest["texts"])
    if hashlib.sha256(data).hexdigest() != manifest["sha256"]:
        raise CorruptFileError(f"{path}: its checksum is not the one in {MANIFEST}")
    entries = []
    try:
        for line in data.splitlines():
            record = json.loads(line)
            entry = Entry(record["id"], record["text"], record["payload"])
            entries.append((int(record["label"]), entry))
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptFileError(f"{path}: line {len(entries) + 1}: {error!r}") from None
    if len(entries) != manifest["count"]:
        raise CorruptFileError(
            f"{path}: got {len(entries)} texts, expected {manifest['count']} as in {MANIFEST}"
        )
    return entries


def _delete_others(folder: str, keep: set[str]) -> None:
    """Delete the files of earlier saves; one that is left costs space and nothing else."""
    for name in os.listdir(folder):
        ours = any(re.fullmatch(_MANIFEST_VALUES[key], name) for key in ("index", "texts"))
        if ours and name not in keep:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, name))
