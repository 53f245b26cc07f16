"""Peers of the side-by-side benchmark: each can be built, swept and trusted to find neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from bench.pareto import datasets, judge
from bench.pareto.methods import REGISTRY

TRIED = ("faiss-", "rabitqlib", "hnswlib", "usearch-hnsw", "svs-", "vsag-", "ngt-")
PEERS = [name for name in REGISTRY if name.startswith(TRIED)]


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("name", PEERS)
def test_peers_find_more_along_a_sweep_and_nearly_all_at_its_end(name, metric):
    kind = REGISTRY[name]
    for module in kind.modules:
        pytest.importorskip(module, reason=f"{name} needs it")
    rng = np.random.default_rng(5)
    base = datasets.unit_rows(rng.standard_normal((3000, 64)).astype(np.float32))
    queries = datasets.unit_rows(rng.standard_normal((50, 64)).astype(np.float32))
    kth = judge.exact_neighbours(base, queries, 10, metric)[1][:, -1]
    peer = kind()
    peer.build(base, metric, 1)
    peer.set_threads(1)

    def found(params):
        peer.configure(params)
        return judge.recall(peer.search(queries, 10), base, queries, kth, metric)

    series = peer.sweep(10)
    first, last = found(series[0][0]), found(series[-1][-1])
    assert last >= 0.93
    assert kind.family == "exact" or first < last
