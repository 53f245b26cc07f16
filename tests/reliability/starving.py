"""Runs inside a child: calls with too little address space, one fork per amount."""

from __future__ import annotations

import errno
import os
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import nearfield as nf
import numpy as np
from reliability.child import how_ended, limit_address_space
from reliability.samples import centroids_of, empty_lists

MIB = 1 << 20
ENDS = {0: "done", 10: "MemoryError", 11: "wrong exception", 12: "changed", 13: "unusable"}


def small(index: nf.Index | None = None) -> nf.Index:
    """Return an index (a flat one by default) whose state is easy to compare."""
    index = nf.FlatIndex(8) if index is None else index
    index.add(np.arange(800, dtype=np.float32).reshape(100, 8), ids=np.arange(100) * 2 + 10**9)
    return index


def state(index: nf.Index) -> tuple[Any, ...]:
    """Return everything observable."""
    found = index.search(np.ones((2, 8)), k=5)
    rows = index.reconstruct(index.ids)
    return index.ids.tolist(), rows.tobytes(), found.ids.tolist(), found.scores.tolist()


def starved(work: Callable[[], Any], index: nf.Index, expected: Any, more: int) -> str:
    """Run `work` in a fork that may use `more` bytes; the index must be as it was after."""
    pid = os.fork()
    if pid == 0:
        code = 11
        try:
            limit_address_space(more)
            try:
                work()
                code = 0
            except MemoryError:
                code = 10
            except OSError as error:  # of mmap
                code = 10 if error.errno == errno.ENOMEM else 11
            limit_off()
            if code == 10 and state(index) != expected:
                code = 12
            elif code == 10:
                index.add(np.ones((3, 8), np.float32), ids=[7001, 7003, 7005])
                code = 10 if len(index) == 103 else 13
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return ENDS.get(code, how_ended(code))


def limit_off() -> None:
    """Take the limit away again."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def swept(
    works: dict[str, Callable[[], Any]], index: nf.Index, expected: Any, steps: int, largest: int
) -> dict[str, dict[str, int]]:
    """Run calls with from nothing to `largest` bytes more; count how each ended."""
    out = {}
    for name, work in works.items():
        amounts = [int(largest * (step / steps) ** 3) for step in range(steps)]  # most near nothing
        out[name] = dict(Counter(starved(work, index, expected, more) for more in amounts))
    return out


def sweep(folder: str, steps: int, largest: int) -> dict[str, dict[str, int]]:
    """Run every call with from nothing to `largest` bytes more; count how each ended."""
    index = small()
    expected = state(index)
    zeros = np.zeros((400_000, 8), np.float32)
    rows = np.random.default_rng(0).standard_normal((200_000, 8)).astype(np.float32)
    labels = np.arange(len(zeros))
    big = nf.FlatIndex(8, "cosine")
    big.add(rows)
    path = os.path.join(folder, "big.nf")
    big.save(path, durable=False)
    bytes_index = nf.FlatIndex(8, quantizer="int8")
    bytes_index.add(zeros.astype(np.int8))
    lists = small(empty_lists("l2", "float32", centroids_of("float32", 20, 8)))
    expected_of_lists = state(lists)
    big_lists = empty_lists("cosine", "float32", rows[::4000] + np.float32(0.01))
    big_lists.add(rows)
    some = list(range(10**9, 10**9 + 60, 2))
    works: dict[str, Callable[[], Any]] = {
        "add": lambda: index.add(zeros, threads=2),
        "add with ids": lambda: index.add(zeros, ids=labels, threads=2),
        "search": lambda: big.search(rows[:2000], k=200, threads=2),
        "search, k = n": lambda: big.search(rows[:8], k=200_000, threads=2),
        "range_search": lambda: big.range_search(rows[:20], -1.0, threads=2),
        "topk": lambda: nf.topk(rows[:500], rows, k=100, metric="ip", threads=2),
        "load": lambda: nf.load(path),
        "load, mapped": lambda: nf.load(path, mmap=True),
        "save": lambda: bytes_index.save(os.path.join(folder, "saved.nf"), durable=False),
        "filtered": lambda: big.search(rows[:50], k=9, filter=np.arange(0, 200_000, 3)),
        "reconstruct": lambda: big.reconstruct(np.arange(200_000)),
    }
    works_on_lists: dict[str, Callable[[], Any]] = {
        "lists: add": lambda: lists.add(rows, threads=2),
        "lists: add with ids": lambda: lists.add(rows, ids=labels[: len(rows)], threads=2),
        "lists: train": lambda: nf.IVFIndex(8, 50).train(rows, threads=2),
        "lists: search": lambda: big_lists.search(rows[:2000], k=200, nprobe=9, threads=2),
        "lists: filtered": lambda: big_lists.search(rows[:50], k=9, nprobe=1, filter=labels[:900]),
        "lists: range_search": lambda: big_lists.range_search(rows[:20], -1.0, nprobe=49),
        "lists: save": lambda: big_lists.save(os.path.join(folder, "lists.nf"), durable=False),
    }
    out = swept(works, index, expected, steps, largest)
    out |= swept(works_on_lists, lists, expected_of_lists, steps, largest)
    # removing cannot be tried on the index whose state is compared
    ends = Counter(
        starved(lambda: small().remove(some), index, expected, step * MIB // 4) for step in range(9)
    )
    out["remove"] = dict(ends)
    assert not [name for name in os.listdir(folder) if name.endswith(".nftmp")]
    return out


def sweep_codes(folder: str, steps: int, largest: int) -> dict[str, dict[str, int]]:
    """Do the same with calls of indexes whose rows are coded."""
    index = small()
    expected = state(index)
    rows = np.random.default_rng(0).standard_normal((200_000, 8)).astype(np.float32)
    codes = nf.FlatIndex(8, quantizer="pq2x4", refine="float16")
    codes.train(rows[:1000])
    codes.add(rows)
    path = os.path.join(folder, "codes.nf")
    codes.save(path, durable=False)
    works: dict[str, Callable[[], Any]] = {
        "codes: train": lambda: nf.FlatIndex(8, quantizer="pq4x8").train(rows, threads=2),
        "codes: search": lambda: codes.search(rows[:400], k=200, threads=2),
        "codes: search, k = n": lambda: codes.search(rows[:8], k=200_000, threads=2),
        "codes: range_search": lambda: codes.range_search(rows[:20], 9.0, threads=2),
        "codes: load": lambda: nf.load(path),
        "codes: save": lambda: codes.save(os.path.join(folder, "saved.nf"), durable=False),
    }
    lists = small(empty_lists("l2", "sq8-residual", centroids_of("float32", 20, 8)))
    expected_of_lists = state(lists)
    works_on_lists: dict[str, Callable[[], Any]] = {
        "coded lists: add": lambda: lists.add(rows, threads=2),
        "coded lists: search": lambda: lists.search(rows[:20_000], k=90, nprobe=9),
    }
    out = swept(works, index, expected, steps, largest)
    return out | swept(works_on_lists, lists, expected_of_lists, steps, largest)


def too_much(gib: int) -> dict[str, Any]:
    """Add more rows than fit, in this very process; then go on with the index."""
    index = small()
    expected = state(index)
    rows = np.zeros((gib * (1 << 30) // 32, 8), np.float32)  # pages nobody touched cost nothing
    limit_address_space(gib * (1 << 29))
    raised = []
    for work in (
        lambda: index.add(rows),
        lambda: index.add(rows, ids=np.arange(len(rows))),
        lambda: nf.topk(rows[:1], rows, k=3, metric="cosine"),
    ):
        try:
            work()
            raised.append("nothing")
        except MemoryError as error:
            raised.append("MemoryError" if not error.args or "\n" not in str(error) else "long")
    same = state(index) == expected
    index.add(rows[:10])
    return {"raised": raised, "same": same, "length": len(index)}


def thread_count() -> int:
    """Return the threads of this process (numpy has some of its own)."""
    with open("/proc/self/status", "rb") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(b"Threads"))


def threadless() -> dict[str, Any]:
    """Search where no thread can be started: this thread does it all."""
    import resource

    index = nf.FlatIndex(8)
    rows = np.random.default_rng(0).standard_normal((20_000, 8)).astype(np.float32)
    # Whatever is imported at a first call must be there before this user can no longer read it.
    warm = nf.FlatIndex(8)
    warm.add(rows[:200], threads=1)
    warm.search(rows[:200], k=3, threads=1)
    os.setresuid(65534, 65534, 65534)  # root is not bound by the limit
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
    before = thread_count()
    index.add(rows, threads=4)
    found = index.search(rows[:200], k=3, threads=4)
    right = bool((found.ids[:, 0] == np.arange(200)).all())
    return {"right": right, "started": thread_count() - before}
