"""Runs inside a child: forks a process that has threads, and waits for the forks with a limit."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import nearfield as nf
import numpy as np

LIMIT = 5.0
RNG = np.random.default_rng(5)
ROWS = RNG.standard_normal((20_000, 32)).astype(np.float32)
QUERIES = RNG.standard_normal((40, 32)).astype(np.float32)


def digest(index: nf.FlatIndex) -> bytes:
    """Return the bytes of an answer."""
    return b"".join(part.tobytes() for part in index.search(QUERIES, k=7, threads=2))


def forked(work: Callable[[], bool]) -> str:
    """Fork, run `work` in the child and return how that ended."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if work() else 3)
        finally:
            os._exit(4)
    deadline = time.monotonic() + LIMIT
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return {0: "right", 768: "wrong", 1024: "raised"}.get(status, f"status {status}")
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "hung"
        time.sleep(0.001)


@contextmanager
def busy(work: Callable[[], Any] | None) -> Iterator[None]:
    """Repeat `work` in another thread meanwhile."""
    stop = threading.Event()

    def repeat() -> None:
        while work is not None and not stop.is_set():
            work()

    thread = threading.Thread(target=repeat)
    thread.start()
    yield
    stop.set()
    thread.join()


def forks(count: int, other: str) -> dict[str, int]:
    """Fork `count` times while another thread does something; children search and add."""
    warnings.simplefilter("ignore", DeprecationWarning)
    index = nf.FlatIndex(32)
    index.add(ROWS)
    expected = digest(index)
    second = nf.FlatIndex(32)
    second.add(ROWS[:100])
    works: dict[str, Callable[[], Any] | None] = {
        "nothing": None,
        "searching": lambda: index.search(QUERIES, k=7, threads=2),
        "adding": lambda: second.add(ROWS[:2000], threads=2),
    }

    def in_child() -> bool:
        mine = nf.FlatIndex(32)
        mine.add(ROWS[:3000], threads=2)
        nested = forked(lambda: digest(index) == expected) if os.getpid() % 20 == 0 else "right"
        return digest(index) == expected and len(mine) == 3000 and nested == "right"

    ends: dict[str, int] = {}
    with busy(works[other]):
        for _ in range(count):
            end = forked(in_child)
            ends[end] = ends.get(end, 0) + 1
            assert digest(index) == expected
    return ends


def answer(index: nf.FlatIndex) -> bytes:
    """Search in a worker process."""
    return digest(index)


def pools(method: str) -> dict[str, Any]:
    """Send an index to worker processes and compare what they answer."""
    warnings.simplefilter("ignore", DeprecationWarning)
    index = nf.FlatIndex(32, "cosine", quantizer="float16")
    index.add(ROWS, ids=np.arange(len(ROWS))[::-1] * 3)
    index.remove([0, 3])
    expected = digest(index)
    assert digest(pickle.loads(pickle.dumps(index))) == expected
    with multiprocessing.get_context(method).Pool(2) as pool:
        got = pool.map_async(answer, [index] * 4, chunksize=1).get(timeout=60)
    return {"equal": [g == expected for g in got], "pickled": len(pickle.dumps(index))}
