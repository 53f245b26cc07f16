"""The table at equal recall: who is compared with whom, and what is said about it."""

from __future__ import annotations

from dataclasses import replace

from bench.pareto import at_recall, records, table


def row(method, qps, **changes):
    plain = records.Record(
        method=method, family="exact", params={}, data="d", n=10, dim=2, metric="ip", k=10,
        batch=10_000, threads=2, threads_used=2, timed_batch=10_000, qps=qps, qps_low=0.9 * qps,
        qps_high=1.1 * qps, repeats=3, foreign_cores=0.0, recall=1.0, judged=5000, build_s=1.0,
        bytes_per_vector=8.0, borrows_base=False, isa="", version="1",
    )  # fmt: skip
    return replace(plain, **changes)


def quantized(method, qps, recall, **changes):
    return row(method, qps, recall=recall, **({"family": "ivf"} | changes))


def test_fastest_at_a_recall_is_interpolated_per_method():
    rows = [quantized("a", 900.0, 0.9), quantized("a", 100.0, 0.99), quantized("b", 500.0, 0.96)]
    best = at_recall.fastest(rows, 0.95)
    assert best is not None
    assert (best.method, best.qps) == ("b", 500.0)
    assert at_recall.fastest(rows, 0.9).qps == 900.0
    assert at_recall.fastest(rows, 0.99).method == "a"
    assert at_recall.fastest(rows, 0.995) is None
    rows[0] = replace(rows[0], foreign_cores=1.0)
    assert "~" in str(at_recall.fastest(rows, 0.9))
    assert "~" not in str(at_recall.fastest(rows, 0.95))


def test_table_at_equal_recall_names_the_peer_and_says_where_exact_is_faster():
    rows = [
        row("nearfield", 700.0, build_s=0.5),
        row("hnswlib", 90_000.0, recall=0.999, family="graph"),
    ]
    rows += [quantized("nearfield-ivf", 3000.0, 0.9), quantized("nearfield-ivf", 400.0, 0.99)]
    rows += [quantized("scann", 2000.0, 0.9), quantized("scann", 100.0, 0.98)]
    rows += [quantized("faiss-flat-pqfs", 350.0, 0.991, family="quantized", build_s=3.0)]
    lines = [line for line in at_recall.recall_table(rows) if line.startswith("| d ")]
    assert len(lines) == 3
    low, _, high = (line.split(" | ") for line in lines)
    assert low[4] == "nearfield-ivf **3,000** (1.0 s, 8 B)"
    assert low[6] == "scann **2,000** (1.0 s, 8 B)"
    assert low[7:9] == ["1.50", "1.50"]
    assert at_recall.EXACT_WINS not in lines[0]
    assert high[5] == "nearfield **700** (0.5 s, 8 B)"
    assert high[6] == "faiss-flat-pqfs **350** (3.0 s, 8 B)"
    assert high[7:9] == ["1.14", "2.00"]
    assert at_recall.EXACT_WINS in lines[2]
    assert "| d |" in "\n".join(at_recall.recall_table(rows[:3]))  # no peer: still a table
    assert at_recall.recall_table(rows[:2]) == []
    page, _ = table.render({}, rows, [])
    assert lines[0] in page


def graph(method, qps, recall, **changes):
    return quantized(method, qps, recall, family="graph", **changes)


def test_graphs_are_compared_with_graphs():
    ours = graph("nearfield-hnsw", 6000.0, 0.9, build_s=2.0)
    rows = [ours, graph("hnswlib", 2000.0, 0.9, build_s=9.0)]
    rows += [graph("svs-lvq4x8", 4000.0, 0.9), graph("svs-lvq4x8", 1000.0, 0.99)]
    rows += [quantized("scann", 90_000.0, 0.999)]
    low, middle, high = (
        line.split(" | ") for line in at_recall.graph_table(rows) if line.startswith("| d ")
    )
    assert low[4] == "nearfield-hnsw **6,000** (2.0 s, 8 B)"
    assert low[5] == "hnswlib **2,000** (9.0 s, 8 B)"
    assert low[6] == "svs-lvq4x8 **4,000** (1.0 s, 8 B)"
    assert low[7:] == ["3.00", "1.50", "4.5 |"]
    assert middle[4:6] == ["-", "-"]
    assert high[6] == "svs-lvq4x8 **1,000** (1.0 s, 8 B)"
    assert high[7:] == ["-", "-", "- |"]
    assert at_recall.graph_table(rows[1:]) == []
    page, _ = table.render({}, rows, [])
    assert "## Graphs at equal recall" in page
    # The other table is of what is no graph.
    assert "nearfield-hnsw" not in "".join(at_recall.recall_table(rows))
