"""Threads: searches while others add, remove and save; the GIL is free during long calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from reliability.child import call

DIM = 24


def run_all(*works: Callable[[], object]) -> None:
    """Run functions in threads of their own; the first exception is raised here."""
    failures: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads), "threads wait for each other"
    if failures:
        raise failures[0]


def vectors(labels: np.ndarray) -> np.ndarray:
    """Return vectors that follow from their labels, so that an answer can be checked alone."""
    phases = (labels[:, None] + 1) * np.arange(1, DIM + 1)[None, :] * 0.7315
    return np.sin(phases).astype(np.float32)


def empty(kind: str, metric: Any) -> Any:
    """Return an index that scores rows as they are: coded ones are kept as well."""
    kinds: dict[str, Callable[[], nf.Index]] = {
        "flat": lambda: nf.FlatIndex(DIM, metric),
        "ivf": lambda: nf.IVFIndex(DIM, 12, metric),
        "flat coded": lambda: nf.FlatIndex(DIM, metric, quantizer="sq8", refine="float32"),
        "ivf coded": lambda: nf.IVFIndex(DIM, 12, metric, quantizer="pq12x6", refine="float32"),
    }
    return kinds[kind]()


@pytest.mark.parametrize("kind", ["flat", "ivf", "flat coded", "ivf coded"])
@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_searches_are_right_while_rows_come_and_go(tmp_path: Path, metric: Any, kind: str) -> None:
    """Fixed rows are always found, removed ones never again, and scores belong to the labels."""
    index = empty(kind, metric)
    fixed = np.arange(2000, dtype=np.int64)
    if not index.is_trained:
        index.train(vectors(fixed))
    index.add(vectors(fixed), ids=fixed)
    done = threading.Event()
    gone = 10_000  # labels from 10,000 up to here have been removed

    def change() -> None:
        nonlocal gone
        try:
            for first in range(10_000, 10_000 + 150 * 40, 40):
                labels = np.arange(first, first + 40)
                index.add(vectors(labels), ids=labels, threads=1 + first // 40 % 2)
                assert index.remove(labels) == 40
                gone = first + 40
                index.add(vectors(fixed[:3]), ids=fixed[:3], on_duplicate="replace")
        finally:
            done.set()

    def search(seed: int) -> None:
        rng = np.random.default_rng(seed)
        rounds = 0
        while not done.is_set() or rounds < 20:
            rounds += 1
            labels = rng.choice(fixed, 5)
            before = gone
            ids, scores, counts = index.search(vectors(labels), k=8, threads=1 + rounds % 2)
            assert (counts == 8).all()
            assert ids[:, 0].tolist() == labels.tolist()
            assert ((ids < 2000) | (ids >= before)).all(), "a removed row answered"
            for i in range(5):
                assert np.unique(ids[i]).size == 8
            pairs = vectors(np.repeat(labels, 8)), vectors(ids.ravel())
            check_scores(metric, *pairs, scores.ravel())

    def save() -> None:
        path, rounds = tmp_path / "saved.nf", 0
        while not done.is_set() or rounds < 5:
            rounds += 1
            index.save(path, durable=False)
            saved = nf.load(path, mmap=rounds % 2 == 0)
            labels = saved.ids
            assert np.isin(fixed, labels).all()
            np.testing.assert_array_equal(saved.reconstruct(labels), vectors(labels))

    run_all(change, *(lambda seed=seed: search(seed) for seed in range(4)), save)
    assert sorted(index.ids.tolist()) == fixed.tolist()


def check_scores(metric: str, a: np.ndarray, b: np.ndarray, scores: np.ndarray) -> None:
    """Raise unless scores are those of the pairs."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    if metric == "l2":
        expected = ((a - b) ** 2).sum(axis=1)
    else:
        expected = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(scores, expected, rtol=1e-6, atol=1e-6)


def test_two_writers_lose_nothing() -> None:
    index = nf.FlatIndex(DIM)

    def add(start: int) -> None:
        for first in range(start, start + 1000, 10):
            labels = np.arange(first, first + 10)
            index.add(vectors(labels), ids=labels)
            index.remove(labels[:2])

    run_all(*(lambda start=start: add(start) for start in (0, 1000, 2000, 3000)))
    expected = [label for label in range(4000) if label % 10 >= 2]
    assert sorted(index.ids.tolist()) == expected
    np.testing.assert_array_equal(index.reconstruct(expected), vectors(np.array(expected)))


def test_writers_of_one_path_leave_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "one.nf"
    indexes = []
    for n in (10, 500, 3000):
        index = nf.FlatIndex(DIM)
        index.add(vectors(np.arange(n)))
        indexes.append(index)

    def save(index: nf.FlatIndex) -> None:
        for _ in range(60):
            index.save(path, durable=False)
            assert len(nf.load(path)) in (10, 500, 3000)

    run_all(*(lambda index=index: save(index) for index in indexes))
    assert [file.name for file in tmp_path.iterdir()] == ["one.nf"]


def ticks_during(work: Callable[[], object]) -> tuple[float, float]:
    """Return the longest pause of a ticking Python thread during `work`, and how long that took."""
    stop, times = threading.Event(), [time.monotonic()]

    def tick() -> None:
        while not stop.is_set():
            time.sleep(0.001)
            times.append(time.monotonic())

    thread = threading.Thread(target=tick)
    thread.start()
    time.sleep(0.05)
    start = time.monotonic()
    work()
    end = time.monotonic()
    stop.set()
    thread.join()
    inside = [t for t in times if start <= t <= end]
    gaps = np.diff([start, *inside, end])
    return float(gaps.max()), end - start


@pytest.mark.parametrize(("kind", "count"), [("FlatIndex", 400_000), ("HNSWIndex", 20_000)])
def test_an_index_that_grows_can_be_asked_how_large_it_is(kind: str, count: int) -> None:
    """What waits for a long add leaves the GIL to it, which looks for signals."""
    rows = np.random.default_rng(0).standard_normal((count, 64), dtype=np.float32)
    index = getattr(nf, kind)(64)
    done = threading.Event()

    def add() -> None:
        index.add(rows)
        done.set()

    def ask() -> None:
        while not done.is_set():
            assert index.nbytes >= 0  # it answers; an empty flat index holds nothing
            assert index.stats()["count"] in (0, count)
            assert 5 not in index or len(index) == count

    run_all(add, ask)


@pytest.mark.parametrize("name", ["search", "topk", "range_search", "add", "save", "load"])
def test_the_gil_is_free_during_long_calls(tmp_path: Path, name: str) -> None:
    """Other threads go on: none of their pauses is a large share of the call."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((120_000, 64)).astype(np.float32)
    index = nf.FlatIndex(64)
    index.add(rows)
    path = tmp_path / "index.nf"
    index.save(path)
    many = rows[:20_000]
    calls: dict[str, Callable[[], object]] = {
        "search": lambda: index.search(many, k=50, threads=1),
        "topk": lambda: nf.topk(many, rows, k=50, threads=1),
        "range_search": lambda: index.range_search(rows[:600], 70.0, threads=1),
        "add": lambda: nf.FlatIndex(64).add(np.concatenate([rows] * 6), threads=1),
        "save": lambda: [index.save(path) for _ in range(5)],
        "load": lambda: [nf.load(path) for _ in range(20)],
    }
    shares = []
    for _ in range(3):
        pause, took = ticks_during(calls[name])
        shares.append(pause / took)
        if shares[-1] < 0.5:
            return
    pytest.fail(f"{name}: a thread stood still for {min(shares):.0%} of the call")


def test_no_call_waits_for_ever_while_another_adds() -> None:
    """A long add looks for signals, which needs the GIL: nothing may hold it and wait."""
    found = call("reliability.crossing:every_call_during_long_adds", timeout=100)
    assert found["rows"] == 901_000
    assert found["counts"]["contains"] >= 1
