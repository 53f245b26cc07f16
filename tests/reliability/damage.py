"""Runs inside a child: damages files in place, byte by byte, and counts what is noticed."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import nearfield as nf
import numpy as np
from nearfield import _core

WAYS = [(mmap, verify) for mmap in (False, True) for verify in (True, False)]


def outcome(path: str, mmap: bool, verify: bool) -> str:
    """Return how opening a file ended: 'refused', 'opened' or the name of a wrong exception."""
    try:
        index = nf.load(path, mmap=mmap, verify=verify)
    except nf.CorruptFileError as error:
        return "refused" if len(str(error)) > 20 else f"a message of {error!s}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    use(index)
    return "opened"


def use(index: nf.Index) -> None:
    """Do everything a user may do with an index that opened: none of it may crash."""
    queries = np.zeros((3, index.dim), np.float32)
    for k in (1, 10, len(index) + 5):
        ids, _, counts = index.search(queries, k=k)
        assert (counts == min(k, len(index))).all()
        assert ((ids == nf.MISSING).sum(axis=1) == np.maximum(k - counts, 0)).all()
    index.search(queries, k=2, filter=np.arange(len(index)) % 2 == 0)
    for setting in index.tuning or ():
        index.search(queries, k=min(setting.k, 50), recall=setting.level)
    labels = index.ids
    assert np.unique(labels).size == len(index)
    index.reconstruct(labels[:3])
    for name in index.corpus_adapters:
        _, _, counts = index.search(queries, k=10, corpus_adapter=name)
        assert (counts == min(10, len(index))).all()
        index.reconstruct(labels[:3], corpus_adapter=name)
    if index.dim <= 4096:
        kept = index.refine or index.quantizer
        storage: Any = kept if "int8" in kept else "float32"
        before = len(index)
        with_labels = [label for label in (12345, 12346) if label not in index]
        index.add(np.zeros((len(with_labels), index.dim), storage), ids=with_labels)
        assert len(index) == before + len(with_labels)
        index.remove(labels[:1])


@contextmanager
def writable(path: str, content: bytes) -> Iterator[int]:
    """Create a file and hand out its descriptor."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.pwrite(fd, content, 0)
        yield fd
    finally:
        os.close(fd)


def flips(path: str, folder: str) -> dict[str, Any]:
    """Flip every single bit; with checksums all must be refused, without them none may crash."""
    with open(path, "rb") as file:
        content = file.read()
    wrong: list[Any] = []
    tally = {"flips": 8 * len(content), "refused": 0, "verify": 0, "unverified": 0}
    copy = os.path.join(folder, "flipped.nf")
    with writable(copy, content) as fd:
        for at, byte in enumerate(content):
            for bit in range(8):
                os.pwrite(fd, bytes([byte ^ 1 << bit]), at)
                for mmap, verify in WAYS:
                    got = outcome(copy, mmap, verify)
                    if verify:
                        tally["refused"] += got == "refused"
                    else:
                        tally["unverified"] += got in ("refused", "opened")
                    if got != "refused" and (verify or got != "opened"):
                        wrong.append([at, bit, mmap, verify, got])
                try:
                    _core.verify(copy)
                    wrong.append([at, bit, "_core.verify", "opened"])
                except nf.CorruptFileError:
                    tally["verify"] += 1
            os.pwrite(fd, bytes([byte]), at)
        assert outcome(copy, False, True) == "opened"
    return {**tally, "wrong": wrong[:20]}


def cuts(path: str, folder: str) -> dict[str, Any]:
    """Truncate to every length and extend by up to 4096 bytes of three kinds."""
    with open(path, "rb") as file:
        content = file.read()
    wrong: list[Any] = []
    tally = {"cut": 0, "extended": 0}
    copy = os.path.join(folder, "cut.nf")
    with writable(copy, content) as fd:
        for length in range(len(content) - 1, -1, -1):
            os.ftruncate(fd, length)
            for mmap, verify in WAYS:
                got = outcome(copy, mmap, verify)
                tally["cut"] += got == "refused"
                if got != "refused":
                    wrong.append([length, mmap, verify, got])
        garbage = random.Random(0).randbytes(4096)
        for more in (b"\0" * 4096, b"\xff" * 4096, garbage):
            os.ftruncate(fd, 0)
            os.pwrite(fd, content, 0)
            for extra in range(1, 4097):
                os.pwrite(fd, more[extra - 1 : extra], len(content) + extra - 1)
                for mmap, verify in WAYS if extra < 130 or extra % 64 < 2 else WAYS[:1]:
                    got = outcome(copy, mmap, verify)
                    tally["extended"] += got == "refused"
                    if got != "refused":
                        wrong.append([-extra, mmap, verify, got])
    return {**tally, "wrong": wrong[:20]}
