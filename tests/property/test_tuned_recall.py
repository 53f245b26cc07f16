"""Real data: what tuning promises for a sample of the queries holds for the others."""

from __future__ import annotations

import nearfield as nf
import numpy as np
import pytest
from property.test_datasets import opened

SAMPLE, K = 1000, 10


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rows"), [("minilm-debian", 64_422), ("glove100", 100_000)])
def test_recall_holds_for_queries_that_tuning_has_not_seen(name: str, rows: int) -> None:
    data = opened(name)
    rng = np.random.default_rng(0)
    base = data.base[np.sort(rng.permutation(len(data.base))[:rows])].astype(np.float32)
    queries = data.queries[rng.permutation(len(data.queries))].astype(np.float32)
    sample, later = queries[:SAMPLE], queries[SAMPLE:]
    index = nf.IVFIndex(base.shape[1], 256, data.metric)
    index.train(base)
    index.add(base)
    tuning = nf.tune(index, sample, (0.9, 0.95), k=K)
    assert any(setting.params["nprobe"] < 256 for setting in tuning if setting.level == 0.9)
    last = nf.topk(later, base, K, data.metric).scores[:, -1:]
    for level in (0.8, 0.9, 0.95, 0.98, 0.99, 1.0):
        hits = (index.search(later, K, recall=level).scores >= last).mean(axis=1)
        # The bound is one-sided 95 %: it may be missed, by a few standard errors of either sample.
        assert hits.mean() >= level - 3 * hits.std() / SAMPLE**0.5
