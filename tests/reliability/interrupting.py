"""Runs inside a child: another process sends SIGINT at random times into long calls."""

from __future__ import annotations

import os
import random
import signal
import struct
import time
from collections.abc import Callable
from typing import Any

import nearfield as nf
import numpy as np

ROWS, DIM = 150_000, 64
NODES, INSERTED = 20_000, 2_400  # of a graph; more at once would make it anew


class Sender:
    """A process that sends a signal to this one on order, and tells when it did."""

    def __init__(self) -> None:
        self._orders, orders = os.pipe()
        self._times, times = os.pipe()
        self._orders, orders = orders, self._orders
        parent = os.getpid()
        if os.fork() == 0:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            os.close(self._orders)
            while order := os.read(orders, 12):
                delay, number = struct.unpack("<di", order)
                time.sleep(delay)
                os.write(times, struct.pack("<d", time.monotonic()))
                os.kill(parent, number)
            os._exit(0)
        os.close(orders)

    def order(self, delay: float, number: int = signal.SIGINT) -> None:
        """Ask for a signal after `delay` seconds."""
        os.write(self._orders, struct.pack("<di", delay, number))

    def sent(self) -> float:
        """Return when the signal was sent."""
        return float(struct.unpack("<d", os.read(self._times, 8))[0])


def calls(folder: str) -> dict[str, Callable[[], Any]]:
    """Return long calls, each on data of its own."""
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((ROWS, DIM)).astype(np.float32)
    queries = rng.standard_normal((40_000, DIM)).astype(np.float32)
    index = nf.FlatIndex(DIM)
    index.add(rows)
    empty = nf.FlatIndex(DIM)
    lists, long_lists = nf.IVFIndex(DIM, 64), nf.IVFIndex(DIM, 2)
    for listed in (lists, long_lists):
        listed.train(rows[:3000])
        listed.add(rows)
    empty_lists = nf.IVFIndex(DIM, 256)
    empty_lists.train(rows[:3000])
    wide = np.tile(rows, (6, 1))
    double = wide[: 2 * ROWS].astype(np.float64)
    labels = rng.permutation(len(wide))
    path = os.path.join(folder, "loop.nf")
    index.save(path, durable=False)

    opq = nf.quant.OPQ(DIM // 4, 4).train(rows[:256])

    small = nf.FlatIndex(DIM, quantizer=f"pq{DIM // 2}x4", refine="float16")
    small_lists = nf.IVFIndex(DIM, 64, quantizer="rabitq4")
    for coded in (small, small_lists):
        coded.train(rows[:3000])
        coded.add(rows)
    empty_small = nf.FlatIndex(DIM, quantizer=nf.quant.RabitQuantizer(4).train(rows[:3000]))

    graph, empty_graph = nf.HNSWIndex(DIM, 16), nf.HNSWIndex(DIM, 16)
    graph.add(rows[:NODES])

    def save_and_load() -> None:
        while True:
            index.save(path)
            nf.load(path)

    def single() -> None:
        while True:
            index.search(queries[0], k=10)

    return {
        "search": lambda: index.search(queries, k=100),
        "search, one thread": lambda: index.search(queries, k=10, threads=1),
        "search, k = n": lambda: index.search(queries[:40], k=ROWS),
        "search, one query at a time": single,
        "range_search": lambda: index.range_search(queries[:4000], 60.0),
        "topk": lambda: nf.topk(queries, rows, k=10, metric="cosine"),
        "add": lambda: empty.add(wide),
        "add of float64": lambda: empty.add(double),
        "add with ids": lambda: empty.add(wide, ids=labels),
        "save and load": save_and_load,
        "train pq": lambda: nf.quant.ProductQuantizer(DIM // 4).train(rows),
        "train opq": lambda: nf.quant.OPQ(DIM // 4).train(rows),
        "encode opq": lambda: opq.encode(wide),
        "search lists": lambda: lists.search(queries, k=100, nprobe=32),
        "search lists, one thread": lambda: lists.search(queries, k=10, nprobe=60, threads=1),
        "search lists, few may answer": lambda: lists.search(
            queries, k=300, nprobe=1, filter=range(0, ROWS, 40)
        ),
        "search long lists": lambda: [long_lists.search(queries, k=10) for _ in range(9)],
        "range_search in lists": lambda: lists.range_search(queries[:4000], 60.0, nprobe=60),
        "train": lambda: nf.IVFIndex(DIM, 500).train(rows),
        "add to lists": lambda: empty_lists.add(wide),
        "search codes": lambda: small.search(queries, k=100),
        "search codes, k = n": lambda: small.search(queries[:40], k=ROWS),
        "search codes in lists": lambda: small_lists.search(queries, k=10, nprobe=32),
        "range_search of codes": lambda: small_lists.range_search(queries, 20.0, nprobe=64),
        "train codes": lambda: nf.FlatIndex(DIM, quantizer=f"pq{DIM // 4}x8").train(rows),
        "add codes": lambda: empty_small.add(wide),
        "search graph": lambda: graph.search(queries, k=10, ef_search=400),
        "add to graph": lambda: empty_graph.add(rows),
        "insert into graph": lambda: graph.add(rows[-INSERTED:]),
    } | {
        "index": lambda: index,
        "graph": lambda: graph,
        "empty": lambda: (empty, empty_lists, empty_small, empty_graph),
        "rows": lambda: rows,
    }


def answers(index: nf.Index, rows: np.ndarray) -> list[bytes]:
    """Return what a search finds."""
    return [part.tobytes() for part in index.search(rows[:20], k=5)]


def latencies(folder: str, count: int, names: list[str]) -> dict[str, Any]:
    """Interrupt every call `count` times; return seconds until KeyboardInterrupt by call."""
    # A test run in the background inherits SIGINT ignored, and Python then installs no handler.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sender, rng = Sender(), random.Random(3)
    long = calls(folder)
    index, graph, emptied, rows = (long.pop(n)() for n in ("index", "graph", "empty", "rows"))
    expected = answers(index, rows)
    of_graph = answers(graph, rows)
    out: dict[str, Any] = {}
    for name in names:
        out[name] = {"late": [], "missed": 0}
        longest = 0.4
        for _ in range(count):
            in_call = True
            sender.order(longest * (0.02 + rng.random()))
            try:
                long[name]()
                in_call = False
                time.sleep(5)
            except KeyboardInterrupt:
                late = time.monotonic() - sender.sent()
                # A call that ended before the signal came proves nothing: on a fast machine, signal
                # sooner.
                if in_call:
                    out[name]["late"].append(late)
                else:
                    out[name]["missed"] += 1
                    longest /= 2
            else:
                raise AssertionError("no signal came")
            assert answers(index, rows) == expected, name
            assert len(index) == ROWS
            if len(graph) != NODES:
                assert (len(graph), name) == (NODES + INSERTED, "insert into graph")
                graph.remove(graph.ids[NODES:])
                of_graph = answers(graph, rows)
            assert answers(graph, rows) == of_graph, name
            for empty in emptied:
                if len(empty):
                    assert len(empty) in (ROWS, 2 * ROWS, 6 * ROWS)
                    empty.remove(empty.ids)
    assert sorted(os.listdir(folder)) == ["loop.nf"], "an interrupted save leaves no temporary"
    assert len(nf.load(os.path.join(folder, "loop.nf"))) == ROWS
    return out


def other_handlers() -> dict[str, Any]:
    """Signals that others handle: their handler runs during the call and what it raises arrives."""
    rng = np.random.default_rng(1)
    index = nf.FlatIndex(DIM)
    index.add(rng.standard_normal((ROWS, DIM)).astype(np.float32))
    queries = rng.standard_normal((20_000, DIM)).astype(np.float32)
    expected = index.search(queries, k=10).ids
    times: list[float] = []
    signal.signal(signal.SIGUSR1, lambda *_: times.append(time.monotonic()))
    signal.signal(signal.SIGALRM, lambda *_: times.append(time.monotonic()))
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    start = time.monotonic()
    same = bool((index.search(queries, k=10).ids == expected).all())
    took = time.monotonic() - start
    signal.setitimer(signal.ITIMER_REAL, 0)
    during = sum(start < t < start + took for t in times)

    class AlarmError(Exception):
        pass

    def alarm(*_: Any) -> None:
        raise AlarmError

    signal.signal(signal.SIGALRM, alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        index.search(queries, k=10)
        raised = False
    except AlarmError:
        raised = True
    again = bool((index.search(queries, k=10).ids == expected).all())
    return {"same": same, "took": took, "handled": during, "raised": raised, "again": again}
