"""Queries that were scored exactly after all, counted on the device: forced ones, and none."""

from __future__ import annotations

import nearfield as nf
import numpy as np
import pytest
from cuda.standin import DlpackArray, Standin, contents
from nearfield.cuda.fallbacks import counted_fallbacks


def counted(standin: Standin, q: np.ndarray, rows: np.ndarray, stream: int = 1) -> int:
    """Search, and return how many queries fell back; results are right either way."""
    here = nf.topk(q, rows, k=2)
    with counted_fallbacks(0) as counter:
        before = counter.after(stream)
        found = nf.topk(DlpackArray(standin, q), DlpackArray(standin, rows), k=2, stream=stream)
        after = counter.after(stream)
    assert contents(found.ids, standin).tolist() == here.ids.tolist()
    return after - before


def test_forced_fallbacks(standin: Standin, rng: np.random.Generator) -> None:
    q = rng.standard_normal((5, 8), dtype=np.float32)
    rows = rng.standard_normal((3000, 8), dtype=np.float32)
    assert counted(standin, q, rows) == 0
    rows[:] = rows[0]  # every group is as good as every other: all lists overflow
    assert counted(standin, q, rows) == 5
    assert counted(standin, q[:3], rows, standin.stream()) == 3


def test_of_a_graph(standin: Standin, rng: np.random.Generator) -> None:
    rows = rng.standard_normal((300, 4), dtype=np.float32)
    index = nf.HNSWIndex(4, 4)
    index.add(rows)
    there = index.to("cuda")
    with counted_fallbacks(0) as counter:
        before = counter.after(1)
        there.search(DlpackArray(standin, rows[:3]), k=2)
        walked = counter.after(1)
        there.search(DlpackArray(standin, rows[:3]), k=250, ef_search=250)
        assert before <= walked <= counter.after(1) <= before + 6


@pytest.mark.parametrize("k", [30])
def test_of_lists(standin: Standin, rng: np.random.Generator, k: int) -> None:
    rows = rng.standard_normal((400, 4), dtype=np.float32)
    index = nf.IVFIndex(4, 40)
    index.train(rows)
    index.add(rows)
    there = index.to("cuda")
    with counted_fallbacks(0) as counter:
        before = counter.after(1)
        there.search(DlpackArray(standin, rows[:3]), k=k, nprobe=1)  # too few rows in one list
        assert counter.after(1) == before + 3


def test_ordinary_searches_launch_nothing_more(standin: Standin, rng: np.random.Generator) -> None:
    q = rng.standard_normal((5, 8), dtype=np.float32)
    rows = rng.standard_normal((3000, 8), dtype=np.float32)

    def launches() -> int:
        standin.finish()
        before = standin.launches
        found = nf.topk(DlpackArray(standin, q), DlpackArray(standin, rows), k=2)
        contents(found.ids, standin)
        return standin.launches - before

    plain = launches()
    with counted_fallbacks(0):
        assert launches() == plain + 1
    assert launches() == plain
