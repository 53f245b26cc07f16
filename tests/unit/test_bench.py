"""Side-by-side benchmark: recall, statistics, order of timing, data loading, tables and plots."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.pareto import contestant, datasets, front, judge, measure, records, table, timing
from bench.pareto.__main__ import main
from bench.pareto.methods import REGISTRY, expand
from bench.pareto.methods.base import Method


class Loops(Method):
    """Exact search in the plainest NumPy, so that the runner can be tested without any peer."""

    name = "loops"
    family = "exact"
    package = "numpy"
    modules = ("numpy",)

    def build(self, base, metric, threads):
        self.base, self.metric = base, metric

    def set_threads(self, threads):
        self.threads = threads

    def search(self, queries, k):
        return judge.exact_neighbours(self.base, queries, k, self.metric)[0]


class Broken(Loops):
    """A peer that builds and then fails."""

    name = "broken"

    def search(self, queries, k):
        if len(queries) > 1:
            raise OSError("no such thing\nsecond line")
        return super().search(queries, k)


@pytest.fixture
def folder(tmp_path):
    """A small L2 data set of bytes, in the layout of the shared folders."""
    rng = np.random.default_rng(1)
    place = tmp_path / "tiny"
    place.mkdir()
    base = rng.integers(0, 256, (300, 8), dtype=np.uint8)
    queries = rng.integers(0, 256, (40, 8), dtype=np.uint8)
    np.save(place / "base.npy", base)
    np.save(place / "queries.npy", queries)
    ids, _ = judge.exact_neighbours(base.astype(np.float32), queries.astype(np.float32), 100, "l2")
    np.save(place / "gt_ids.npy", ids)
    return place


@pytest.fixture
def plain_methods(monkeypatch):
    monkeypatch.setitem(REGISTRY, "loops", Loops)
    monkeypatch.setitem(REGISTRY, "broken", Broken)


# ---------------------------------------------------------------- recall


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_exact_neighbours_agree_with_a_full_sort(metric):
    rng = np.random.default_rng(2)
    base = rng.integers(-3, 4, (200, 5)).astype(np.float32)  # many ties
    queries = rng.integers(-3, 4, (30, 5)).astype(np.float32)
    ids, scores = judge.exact_neighbours(base, queries, 17, metric)
    for row, query in enumerate(queries.astype(np.float64)):
        if metric == "ip":
            keys = [(-float(x @ query), i) for i, x in enumerate(base.astype(np.float64))]
        else:
            keys = [(float(((x - query) ** 2).sum()), i) for i, x in enumerate(base)]
        best = sorted(keys)[:17]
        assert ids[row].tolist() == [i for _, i in best]
        sign = -1 if metric == "ip" else 1
        np.testing.assert_allclose(scores[row], [sign * s for s, _ in best], atol=1e-9)


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_any_of_equal_rows_is_a_right_answer(metric):
    base = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], dtype=np.float32)
    queries = np.array([[1, 0]], dtype=np.float32)
    kth = judge.exact_neighbours(base, queries, 2, metric)[1][:, 1]
    for answer in ([0, 1], [2, 0], [1, 2]):
        assert judge.recall(np.array([answer]), base, queries, kth, metric) == 1.0
    assert judge.recall(np.array([[0, 3]]), base, queries, kth, metric) == 0.5


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_repeated_missing_and_foreign_ids_do_not_count(metric):
    base = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    queries = np.array([[1, 0]], dtype=np.float32)
    kth = judge.exact_neighbours(base, queries, 2, metric)[1][:, 1]
    missing = np.iinfo(np.int64).min
    for answer, right in (([0, 0], 0.5), ([0, -1], 0.5), ([0, 3], 0.5), ([missing, missing], 0.0)):
        assert judge.recall(np.array([answer]), base, queries, kth, metric) == right


def test_unsigned_ids_are_understood():
    base = np.eye(3, dtype=np.float32)
    kth = np.array([1.0])
    answer = np.array([[0]], dtype=np.uint64)
    assert judge.recall(answer, base, base[:1], kth, "ip") == 1.0


def test_recall_slack_is_rounding_not_more():
    base = np.array([[1.0], [1.0 - 1e-6], [1.0 - 1e-3]], dtype=np.float32)
    query = np.ones((1, 1), dtype=np.float32)
    kth = np.array([1.0])
    assert judge.recall(np.array([[1]]), base, query, kth, "ip") == 1.0
    assert judge.recall(np.array([[2]]), base, query, kth, "ip") == 0.0


# ---------------------------------------------------------------- timing


def test_rates_are_median_and_extremes():
    windows = [timing.Window(w, f) for w, f in ((2.0, 0.0), (1.0, 0.5), (4.0, 0.2))]
    got = timing.rates(windows, [100, 100, 100])
    assert (got.median, got.low, got.high, got.repeats) == (50.0, 25.0, 100.0, 3)
    assert got.foreign_cores == pytest.approx(0.1)
    with pytest.raises(ValueError, match="0 windows"):
        timing.rates([], [])


def test_round_robin_takes_everyone_in_turn():
    order = list(timing.round_robin([3, 1, 2]))
    assert order == [(0, 0), (1, 0), (2, 0), (0, 1), (2, 1), (0, 2)]
    assert list(timing.round_robin([])) == []


@pytest.mark.parametrize(
    ("cost", "calls", "repeats"),
    [(0.001, 300, 5), (0.3, 1, 5), (0.7, 1, 2), (10.0, 1, 2), (0.0, 3_000_000, 5)],
)
def test_plan_keeps_the_budget(cost, calls, repeats):
    got = timing.plan(cost, budget=1.5, repeats=5, fewest=2)
    assert (got.calls, got.repeats) == (calls, repeats)
    assert got.repeats == 2 or got.calls * got.repeats * cost <= 1.5 * 1.2


def test_watch_sees_wall_time_and_never_negative_load():
    with timing.Watch() as watch:
        sum(range(200_000))
    assert watch.window.wall > 0
    assert watch.window.foreign >= 0
    results, window = timing.timed_calls(lambda x: x + 1, [1, 2])
    assert results == [2, 3]
    assert window.wall > 0


def test_blocks_are_taken_in_turn_with_the_same_queries(monkeypatch):
    taken = []

    class Fake:
        family, chunk = "exact", 0

        def __init__(self, name):
            self.name = name

        def block(self, ask):
            taken.append((self.name, ask.start, ask.calls, ask.judge))
            return contestant.Block(
                timing.Window(0.1 * ask.calls, 0.0), ask.calls * ask.batch, 10, 9
            )

    monkeypatch.setattr(measure, "SETTLE_S", 0.0)
    settings = measure.Settings(seconds=0.6, repeats=3)
    entries = [measure.Entry(Fake(name), {}) for name in "abc"]
    done = measure.measure(entries, 10, 64, 2, settings, lambda _: None)
    timed = taken[3:]  # one call each warms up and plans
    assert [name for name, *_ in timed] == list("abc") * 3
    assert [start for _, start, *_ in timed] == [0] * 3 + [2] * 3 + [4] * 3
    assert [judged for *_, judged in timed] == [True] * 9  # too few answers so far
    assert all(entry.rates.median == pytest.approx(640) for entry in done)


def test_single_queries_get_the_better_thread_count():
    class Fake:
        name, family, chunk = "f", "exact", 0

        def block(self, ask):
            wall = (0.05 if ask.threads == 1 else 0.08) * ask.calls
            return contestant.Block(timing.Window(wall, 0.0), ask.calls)

    entry = measure.Entry(Fake(), {})
    measure.prepare(entry, 10, 1, 2, measure.Settings())
    assert entry.ask.threads == 1
    measure.prepare(entry, 10, 8, 2, measure.Settings())
    assert entry.ask.threads == 2


def test_slow_chunked_method_is_timed_on_whole_chunks():
    class Fake:
        name, family, chunk = "f", "exact", 100

        def block(self, ask):
            return contestant.Block(timing.Window(0.01 * ask.batch, 0.0), ask.batch)

    entry = measure.Entry(Fake(), {})
    measure.prepare(entry, 10, 10_000, 2, measure.Settings(slow_call=4.0))
    assert entry.ask.batch == 400
    measure.prepare(entry, 10, 200, 2, measure.Settings(slow_call=4.0))
    assert entry.ask.batch == 200


# ---------------------------------------------------------------- data


def test_folder_pool_and_truth(folder):
    data = datasets.load(datasets.Source(str(folder), pool=100))
    assert (data.n, data.dim, data.metric, data.judged) == (300, 8, "l2", 40)
    assert data.pool.shape == (100, 8)
    assert len(np.unique(data.pool, axis=0)) == 100  # no query is asked twice
    assert (data.pool == np.rint(data.pool)).all()  # bytes stay bytes
    stored = np.load(folder / "queries.npy").astype(np.float32)
    order = datasets.query_order(40)
    assert sorted(order) == list(range(40)) != list(order)
    np.testing.assert_array_equal(data.pool[:40], stored[order])
    again = datasets.load(datasets.Source(str(folder), pool=100))
    np.testing.assert_array_equal(data.pool, again.pool)
    assert len(datasets.load(datasets.Source(str(folder), pool=1)).pool) == 40


def test_fewer_rows_make_new_truth(folder):
    data = datasets.load(datasets.Source(str(folder), rows=120, queries=7))
    want = judge.exact_neighbours(data.base, data.pool[:7], 100, "l2")[1]
    assert data.n == 120
    np.testing.assert_allclose(data.truth_scores, want)
    with pytest.raises(ValueError, match="up to k=100"):
        data.kth(101)


@pytest.mark.parametrize(
    ("word", "metric"), [("angular", "ip"), ("euclidean", "l2"), (b"angular", "ip")]
)
def test_hdf5_file(tmp_path, word, metric):
    h5py = pytest.importorskip("h5py", reason="HDF5 files need h5py")
    rng = np.random.default_rng(3)
    path = tmp_path / "tiny-8.hdf5"
    train = rng.standard_normal((150, 8)).astype(np.float32)
    test = rng.standard_normal((12, 8)).astype(np.float32)
    unit = datasets.unit_rows
    rows, asked = (unit(train), unit(test)) if metric == "ip" else (train, test)
    ids, scores = judge.exact_neighbours(rows, asked, 100, metric)
    with h5py.File(path, "w") as file:
        file.attrs["distance"] = word
        file["train"], file["test"], file["neighbors"], file["distances"] = train, test, ids, scores
    data = datasets.load(datasets.Source(str(path), pool=20))
    assert (data.name, data.metric, data.n, data.judged) == ("tiny-8", metric, 150, 12)
    order = datasets.query_order(12)
    np.testing.assert_allclose(data.truth_scores, scores[order], atol=1e-6)
    if metric == "ip":
        np.testing.assert_allclose(np.linalg.norm(data.pool, axis=1), 1, atol=1e-5)
    kth = data.kth(10)
    assert judge.recall(ids[order, :10], data.base, data.pool[:12], kth, metric) == 1.0


def test_unknown_data_is_a_clear_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no data set 'nothing'"):
        datasets.load(datasets.Source("nothing"))
    with pytest.raises(FileNotFoundError, match="is not there"):
        datasets.load(datasets.Source(str(tmp_path / "x.hdf5")))


def test_hdf5_of_unknown_distance(tmp_path):
    h5py = pytest.importorskip("h5py", reason="HDF5 files need h5py")
    with h5py.File(tmp_path / "j.hdf5", "w") as file:
        file.attrs["distance"] = "jaccard"
    with pytest.raises(ValueError, match="'jaccard', expected one of"):
        datasets.load(datasets.Source(str(tmp_path / "j.hdf5")))


# ---------------------------------------------------------------- methods and runs


def test_fewer_ids_than_asked_are_misses():
    assert contestant._padded(np.array([[3, 1]], dtype=np.uint32), 4).tolist() == [[3, 1, -1, -1]]


def test_expand_names_families_and_levels():
    assert expand("nearfield@avx512,numpy,numpy") == ["nearfield@avx512", "numpy"]
    assert set(expand("graph")) == {n for n, m in REGISTRY.items() if m.family == "graph"}
    assert set(expand("all")) == set(REGISTRY)
    with pytest.raises(ValueError, match="unknown method 'fais'"):
        expand("fais")


def test_run_table_and_plot(folder, tmp_path, plain_methods, capsys):
    words = ["--data", str(folder), "--methods", "loops,numpy,broken", "--k", "10,100"]
    words += ["--batches", "1,8,64", "--threads", "1,2", "--seconds", "0.02", "--repeats", "2"]
    assert main(["run", "--name", "t", *words, "--results", str(tmp_path / "r")]) == 0
    said = capsys.readouterr()
    place = Path(said.out.strip())
    assert "broken: left out at k=10 batch=8: OSError: no such thing" in said.err
    assert "second line" not in said.err
    header, rows = records.read(place)
    assert {"date", "cpu", "isa", "cores", "commit", "versions"} <= set(header)
    done = {(row.method, row.k, row.batch, row.threads) for row in rows}
    assert {("loops", k, b, t) for k in (10, 100) for b in (1, 8, 64) for t in (1, 2)} <= done
    assert all(row.exact and row.qps_low <= row.qps <= row.qps_high for row in rows)
    assert (place / "records.csv").read_text().startswith("# name: t\n")
    assert main(["table", str(place)]) == 0
    assert "| batch |" in capsys.readouterr().out
    assert main(["table", str(place), "--strict"]) == 1
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    assert main(["plot", str(place)]) == 0
    drawn = [Path(line) for line in capsys.readouterr().out.split()[-8:]]
    assert all(path.stat().st_size > 2000 for path in drawn)
    assert {path.suffix for path in drawn} == {".png", ".svg"}


def test_method_in_a_process_of_its_own(folder, monkeypatch):
    pytest.importorskip("threadpoolctl", reason="the numpy method needs threadpoolctl")
    monkeypatch.delenv("NEARFIELD_ISA", raising=False)
    source = datasets.Source(str(folder))
    remote = contestant.Remote("numpy", source)
    try:
        assert remote.build(1).borrows_base
        block = remote.block(contestant.Ask({}, 10, 20, 1, calls=2, judge=True))
        assert (block.queries, block.judged, block.right) == (40, 400, 400)
        with pytest.raises(RuntimeError, match="ValueError: batch 5000"):
            remote.block(contestant.Ask({}, 10, 5000, 1))
        remote._process.terminate()
        remote._process.join(10)
        with pytest.raises(RuntimeError, match="its process ended"):
            remote.block(contestant.Ask({}, 10, 20, 1))
    finally:
        remote.close()


def test_points_are_measured_and_nothing_else(folder, tmp_path, plain_methods, capsys):
    words = ["--data", str(folder), "--methods", "loops", "--k", "10", "--points", "1x1,64x2"]
    words += ["--seconds", "0.02", "--repeats", "2", "--results", str(tmp_path / "r")]
    assert main(["run", *words]) == 0
    _, rows = records.read(Path(capsys.readouterr().out.strip()))
    assert [(row.batch, row.threads) for row in rows] == [(1, 1), (64, 2)]
    with pytest.raises(SystemExit):
        main(["run", "--points", "64"])


def test_errors_are_one_line_and_exit_2(capsys):
    assert main(["run", "--methods", "fais"]) == 2
    assert main(["table", "/nonexistent-folder"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 2


# ---------------------------------------------------------------- reading results


def row(method, qps, **changes):
    family = "exact" if method.startswith("nearfield") or method == "faiss-flat" else "graph"
    plain = records.Record(
        method=method, family=family, params={}, data="d", n=10, dim=2, metric="ip", k=10,
        batch=10_000, threads=2, threads_used=2, timed_batch=10_000, qps=qps, qps_low=0.9 * qps,
        qps_high=1.1 * qps, repeats=3, foreign_cores=0.0, recall=1.0, judged=5000, build_s=1.0,
        bytes_per_vector=8.0, borrows_base=False, isa="", version="1",
    )  # fmt: skip
    return replace(plain, **changes)


def test_front_and_interpolation():
    points = [(0.90, 100.0), (0.99, 10.0), (0.95, 5.0), (0.5, 90.0)]
    assert front.pareto_front(points) == [(0.90, 100.0), (0.99, 10.0)]
    assert front.qps_at(points, 0.945) == pytest.approx(10**1.5)
    assert front.qps_at(points, 0.8) == 100.0
    assert front.qps_at(points, 0.999) is None


def test_targets_pass_and_fail():
    rows = [row("nearfield", 1300.0), row("faiss-flat", 100.0), row("nearfield@avx512", 250.0)]
    passed = [verdict.passed for verdict in table.verdicts(rows, table.DEFAULT_TARGETS)]
    assert passed == [True, False, None]
    wrong = [row("nearfield", 1300.0, recall=0.998), rows[1]]
    assert table.verdicts(wrong, table.DEFAULT_TARGETS[:1])[0].passed is False
    inexact_peer = [rows[0], row("faiss-flat", 1000.0, recall=0.9), rows[1]]
    peer = table.best_peer(inexact_peer, 10_000)
    assert peer is not None
    assert peer.qps == 100.0
    with pytest.raises(ValueError, match="METHOD:BATCH:RATIO"):
        table.Target.parse("nearfield:12")
    assert table.Target.parse("nearfield@avx512:10000:3") == table.DEFAULT_TARGETS[1]


def test_only_exact_peers_are_exact_peers():
    lucky = row("hnswlib", 5000.0, recall=1.0)
    assert table.best_peer([lucky, row("nearfield", 9000.0)], 10_000) is None


def test_screening_keeps_what_may_be_best():
    seen = {1: (0.5, 1.0), 2: (0.85, 2.0), 3: (0.9, 3.0), 4: (0.999, 5.0), 5: (1.0, 9.0)}

    class Fake:
        name, family, chunk = "f", "graph", 0

        def sweep(self, k):
            return [[{"p": p} for p in range(1, 6)], [{"p": 3}, {"p": 4}]]

        def block(self, ask):
            recall, wall = seen[ask.params["p"]]
            return contestant.Block(timing.Window(wall, 0.0), 100, 1000, round(1000 * recall))

    kept = measure.screen(Fake(), 10, 2, measure.Settings(), 100)
    assert [params["p"] for params in kept] == [2, 3, 4, 3, 4]


def test_screening_singles_asks_one_query_at_a_time():
    asked = []

    class Fake:
        name, family, chunk = "f", "ivf", 0

        def sweep(self, k):
            return [[{"p": 1}, {"p": 2}]]

        def block(self, ask):
            asked.append((ask.batch, ask.calls, ask.threads))
            return contestant.Block(timing.Window(1.0, 0.0), 100, 1000, 990 + ask.params["p"])

    measure.screen(Fake(), 10, 1, measure.Settings(), 100, single=True)
    assert set(asked) == {(1, 1, 1), (1, 100, 1)}
    asked.clear()
    measure.screen(Fake(), 10, 2, measure.Settings(), 100)
    assert set(asked) == {(1, 1, 2), (100, 1, 2)}


def test_headline_compares_with_recall_099():
    rows = [row("nearfield", 1300.0), row("g", 2000.0, recall=0.98), row("g", 500.0, recall=0.99)]
    assert "2.60 times" in table.headline(rows, ("d", 10, 2), 10_000)
    assert table.headline(rows[:2], ("d", 10, 2), 10_000) == ""


def test_our_approximate_indexes_are_no_exact_search_and_no_peer():
    ours = [row("nearfield-ivf", 9000.0, recall=0.98), row("nearfield-ivf", 7000.0, recall=0.999)]
    rows = [row("nearfield", 1300.0), row("g", 500.0, recall=0.99)]
    rows += [replace(point, family="ivf") for point in ours]
    lines = table.approximate_table(rows, ("d", 10, 2), 10_000)
    assert sum("nearfield-ivf" in line for line in lines) == 1
    assert "nearfield-ivf" not in "".join(table.exact_table(rows, ("d", 10, 2)))
    assert "(g, " in table.headline(rows, ("d", 10, 2), 10_000)


def test_targets_take_the_most_threads_of_their_batch():
    rows = [row("nearfield", 50.0, batch=1, threads=1), row("faiss-flat", 10.0, batch=1, threads=1)]
    rows += [row("nearfield", 1300.0), row("faiss-flat", 100.0)]
    verdicts = table.verdicts(rows, table.DEFAULT_TARGETS)
    assert [verdict.passed for verdict in verdicts] == [True, None, True]


def test_cliffs_are_found():
    rows = [row("faiss-flat", q, batch=b) for b, q in ((1, 100.0), (512, 20.0), (4096, 500.0))]
    assert list(table.cliffs(rows, ("d", 10, 2))) == [
        "faiss-flat: falls to 0.20 of an earlier rate at batch 512"
    ]


def test_records_survive_a_round_trip(tmp_path):
    one = row("nearfield", 12.5, params={"ef": 10})
    records.start(tmp_path, {"name": "x"})
    records.append(tmp_path, [one])
    assert records.read(tmp_path) == ({"name": "x"}, [one])
    text = records.write_csv(tmp_path).read_text()
    assert text.splitlines()[0] == "# name: x"
    assert json.dumps({"ef": 10}).replace('"', '""') in text


def test_recall_plot_draws_each_method(tmp_path):
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    from bench.pareto import plot

    rows = [row("nearfield", 900.0), row("g", 2000.0, recall=0.9), row("g", 500.0, recall=0.99)]
    paths = plot.draw(rows, tmp_path)
    assert [path.name for path in paths] == [
        "recall-d-k10-t2-b10000.png",
        "recall-d-k10-t2-b10000.svg",
    ]
    curve = [row("nearfield", 9.0, batch=1), row("nearfield", 99.0), row("torch-bf16", 5.0)]
    curve += [row("torch-bf16", 4.0, batch=1, family="reduced", recall=0.9)]
    curve[2] = replace(curve[2], family="reduced", recall=0.95)
    lines = plot.batch_curves(curve)
    assert lines["nearfield"] == [(1, 9.0), (10_000, 99.0)]
    assert lines["torch-bf16 (recall 0.900)"] == [(1, 4.0), (10_000, 5.0)]
    heights = plot._spread([0.0, 0.01, 1.0], 0.1)
    assert heights[1] - heights[0] >= 0.1 - 1e-9
