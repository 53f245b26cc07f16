"""Runs inside a child with little memory to spend: opens hostile files and uses what opens."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
from reliability.child import limit_address_space
from reliability.damage import WAYS, outcome


def peak() -> int:
    """Return the most memory this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def hostile(paths: list[str], refuse: bool) -> dict[str, Any]:
    """Open every file in every way; nothing may take memory or time, or end otherwise."""
    nf.set_num_threads(2)
    warm = nf.FlatIndex(2)
    warm.add(np.zeros((500, 2), np.float32))
    warm.search(np.zeros((100, 2), np.float32), k=3)
    limit_address_space(256 << 20)
    before = peak()
    wrong, slowest = [], 0.0
    for path in paths:
        for mmap, verify in WAYS:
            start = time.monotonic()
            got = outcome(path, mmap, verify)
            slowest = max(slowest, time.monotonic() - start)
            # A wrong checksum of contents is exactly what verify=False does not look at.
            lenient = not verify and "field 6" in Path(path + ".txt").read_text()
            if got != ("refused" if refuse else "opened") and not (lenient and got == "opened"):
                wrong.append([path, mmap, verify, got])
    return {"wrong": wrong, "slowest": slowest, "grown": peak() - before}


def message(path: str) -> str:
    """Return what the error says."""
    try:
        nf.load(path)
    except nf.CorruptFileError as error:
        return str(error)
    return ""
