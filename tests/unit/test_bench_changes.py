"""Benchmarks of filters and of rows that come and go: what is asked, and how answers are judged."""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np
import pytest

from bench import filtered, stream
from bench.filtered_searchers import SEARCHERS, Searcher
from bench.pareto import datasets, judge
from bench.stream_updaters import UPDATERS

TRIED = ("flat", "ivf", "nearfield-hnsw")


@pytest.fixture
def folder(tmp_path):
    """A small set of unit vectors in the layout of the shared folders."""
    rng = np.random.default_rng(3)
    base, queries = (
        datasets.unit_rows(rng.standard_normal((n, 16)).astype(np.float32)) for n in (600, 30)
    )
    np.save(tmp_path / "base.npy", base)
    np.save(tmp_path / "queries.npy", queries)
    (tmp_path / "metric.txt").write_text("cosine")
    return tmp_path


@pytest.fixture
def data(folder):
    return datasets.load(datasets.Source(str(folder)))


@pytest.mark.parametrize("kind", filtered.KINDS)
@pytest.mark.parametrize(("share", "matches"), [(0.0001, 1), (0.02, 12), (0.5, 300), (1.0, 600)])
def test_filters_have_their_size_and_come_again(data, kind, share, matches):
    masks = list(filtered.filters(data, kind, share, 3))
    assert [mask.sum() for mask in masks] == [matches] * 3
    again = filtered.filters(data, kind, share, 3)
    assert all((one == other).all() for one, other in zip(masks, again, strict=True))
    if share < 1:
        assert len({mask.tobytes() for mask in masks}) == 3


def test_near_filters_are_balls_round_a_row(data):
    (mask,) = filtered.filters(data, "near", 0.05, 1)
    inside = data.base[mask]
    balls = [(data.base @ row >= np.sort(inside @ row)[0]).sum() for row in inside]
    assert min(balls) == mask.sum()


def test_answers_through_a_filter_are_judged(data):
    mask = np.zeros(data.n, bool)
    mask[:5] = True  # fewer than are asked for
    kth = judge.exact_neighbours(data.base[mask], data.pool[:3], 5, data.metric)[1][:, -1]
    point = filtered.Point("x", {}, "random", 5 / data.n, 5, queries=3, seconds=0.5)
    answers = np.full((3, filtered.K), -1)
    answers[0, :5] = range(5)  # all there are
    answers[1, :5] = [0, 1, 2, 2, 2]  # two missing
    answers[2, :6] = [4, 3, 2, 1, 0, 77]  # one too many
    point.judge(answers, data, mask, kth)
    assert (point.right, point.wanted, point.short, point.outside) == (13, 15, 0, 1)
    assert point.qps == 6
    answers[2] = -1
    point.judge(answers, data, mask, kth)
    assert (point.right, point.wanted, point.short, point.outside) == (21, 30, 1, 1)


class Forgetful(Searcher):
    """Answers without a look at the filter."""

    name = "forgetful"

    def __init__(self, data, threads, selector):
        self.data = data

    def allow(self, mask, params):
        return None

    def search(self, query, allowed):
        return judge.exact_neighbours(self.data.base, query, filtered.K, self.data.metric)[0]


@pytest.mark.parametrize("name", [name for name in SEARCHERS if name.endswith(TRIED)])
def test_filtered_searches_stay_inside(folder, name, tmp_path, monkeypatch, capsys):
    if "faiss" in name:
        pytest.importorskip("faiss")
    monkeypatch.setitem(SEARCHERS, "forgetful", Forgetful)
    words = [f"--data={folder}", f"--out={tmp_path}", f"--methods={name},forgetful,nearfield-none"]
    monkeypatch.setitem(SEARCHERS, "nearfield-none", type("None_", (Searcher,), {"name": "none"}))
    monkeypatch.setattr(sys, "argv", ["filtered", *words, "--filters=2", "--threads=1"])
    filtered.main()
    assert "nearfield-none: left out" in capsys.readouterr().out
    points = json.loads((tmp_path / "filtered.json").read_text())["points"]
    own = [point for point in points if point["method"] == name]
    assert {(point["kind"], point["share"]) for point in own} == {
        (kind, share) for kind in filtered.KINDS for share in filtered.SHARES
    }
    assert not any(point["outside"] for point in own)
    if name.endswith("flat"):
        assert {point["recall"] for point in own} == {1.0}
        assert not any(point["short"] for point in own)
    assert any(point["outside"] for point in points if point["method"] == "forgetful")
    assert "outside the filter: forgetful." in (tmp_path / "filtered.md").read_text()


def test_steps_exchange_live_rows_for_others():
    start, steps, last = stream.make_steps(401, 0.1, 3.0)
    live = set(start.tolist())
    assert (len(start), len(live), len(steps)) == (200, 200, 30)
    for step in steps:
        gone, come = set(step.gone.tolist()), set(step.come.tolist())
        assert len(gone) == len(come) == 20
        assert gone <= live
        assert not come & live
        live = live - gone | come
    assert live == set(last.tolist())
    assert max(live) <= 400


@pytest.mark.parametrize("name", [name for name in UPDATERS if name.endswith(TRIED)])
def test_streams_end_with_the_rows_that_are_live(data, name):
    if "faiss" in name:
        pytest.importorskip("faiss")
    words = {"share": 0.2, "turnover": 1.0, "every": 2, "queries": 30, "threads": 1}
    args = argparse.Namespace(**words, ef=64, nprobe=64)
    course = stream.run(name, data, args)
    looks = [point for point in course.points if point.recall is not None]
    assert [point.turnover for point in looks] == pytest.approx([0.0, 0.4, 0.8, 1.0])
    # All lists are looked into, so that whatever is missing was lost by the stream.
    least = 0.9 if "hnsw" in name else 1.0
    assert all(point.recall >= least for point in [*looks, course.fresh])
    assert not any(point.dead for point in looks)
    assert [point.rows for point in course.points] == [0, *[60] * 5]


def test_rows_that_should_have_gone_are_counted(data):
    class Stubborn(UPDATERS["nearfield-flat"]):
        def remove(self, labels):
            pass

    start, steps, _ = stream.make_steps(data.n, 0.5, 0.5)
    updater = Stubborn(data.base[start], start, data.metric, 1, {})
    point = stream.Point(0.5)
    stream.exchange(updater, data, steps[0], point)
    live = np.concatenate([np.setdiff1d(start, steps[0].gone), steps[0].come])
    stream.look(updater, data, live, 30, point)
    assert point.dead > 0
    assert point.recall < 1
    assert point.operations_per_s == pytest.approx(300 / (point.remove_s + point.add_s))
