"""Replacing a file whole: whoever reads it sees the old bytes or the new ones, never a part.

The new bytes are written beside the file, synced and renamed over it, and the folder is synced, so
that neither a crash of the process nor one of the machine leaves anything else.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterable

__all__ = ["replace_durably", "sync_folder", "write_durably"]


def write_durably(path: str, chunks: Iterable[bytes]) -> None:
    """Write a file and return once its bytes are on the disk; a new name may still be lost."""
    with open(path, "wb") as file:
        file.writelines(chunks)
        file.flush()
        os.fsync(file.fileno())


def replace_durably(path: str, chunks: Iterable[bytes]) -> None:
    """Make `chunks` the contents of `path`, all of them or, where an error is raised, none.

    As index files do it: symbolic links are followed, mode bits of a replaced file are kept.
    """
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    fresh = os.path.join(folder, f".{secrets.token_hex(8)}.partial")
    try:
        write_durably(fresh, chunks)
        with contextlib.suppress(FileNotFoundError):
            os.chmod(fresh, stat.S_IMODE(os.stat(target).st_mode))
        os.replace(fresh, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise
    sync_folder(folder)


def sync_folder(folder: str) -> None:
    """Return once the names in a folder are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
