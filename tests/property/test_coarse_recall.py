"""Real data: coarse="hierarchical" finds nearly what "flat" finds with as many lists."""

from __future__ import annotations

import nearfield as nf
import numpy as np
import pytest
from property.test_datasets import opened


@pytest.mark.slow
def test_recall_is_at_most_two_points_lower() -> None:
    data = opened("glove100")
    base = data.base.astype(np.float32)
    queries = data.queries[:2000].astype(np.float32)
    last = nf.topk(queries, base, 10, data.metric).scores[:, -1:]
    recall = {}
    for coarse in ("flat", "hierarchical"):
        index = nf.IVFIndex(base.shape[1], 4096, data.metric, coarse=coarse)  # type: ignore[arg-type]
        index.train(base)
        index.add(base)
        for nprobe in (1, 16, 64, 256):
            scores = index.search(queries, 10, nprobe=nprobe).scores
            recall[coarse, nprobe] = float((scores >= last).mean())
    for nprobe in (1, 16, 64, 256):
        assert recall["hierarchical", nprobe] > recall["flat", nprobe] - 0.02
    assert recall["hierarchical", 64] < recall["flat", 64], "a test of one kind against itself"
