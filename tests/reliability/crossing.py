"""Runs inside a child: threads that could wait for each other."""

from __future__ import annotations

import threading
from typing import Any

import nearfield as nf
import numpy as np


def every_call_during_long_adds() -> dict[str, Any]:
    """Call everything else while one thread adds for long enough to look for signals."""
    index = nf.FlatIndex(64)
    rows = np.random.default_rng(0).standard_normal((300_000, 64)).astype(np.float32)
    index.add(rows[:1000])
    adding = threading.Event()
    done = threading.Event()

    def add() -> None:
        try:
            for _ in range(3):
                adding.set()
                index.add(rows, threads=1)
        finally:
            done.set()

    # Calls of the main thread look for signals: it has to be the one that adds.
    counts = dict.fromkeys(("contains", "reconstruct", "search", "filtered", "len", "ids"), 0)

    def others() -> None:
        adding.wait()
        while not done.is_set():
            calls = {
                "contains": lambda: 5 in index,
                "reconstruct": lambda: index.reconstruct([1, 2]),
                "search": lambda: index.search(rows[:2], k=3),
                "filtered": lambda: index.search(rows[:2], k=3, filter=[1, 2, 3]),
                "len": lambda: len(index),
                "ids": lambda: index.ids,
            }
            for name, call in calls.items():
                if not done.is_set():
                    call()
                    counts[name] += 1

    threads = [threading.Thread(target=others) for _ in range(2)]
    for thread in threads:
        thread.start()
    add()
    for thread in threads:
        thread.join()
    return {"rows": len(index), "counts": counts}
