"""One answer: every level, batch, thread count and k give the same bytes on real data.

Slices of the data sets in `$NEARFIELD_DATA` (default: `shared/data` beside the clone), and made-up
rows where there are none.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from plugins.isa import Level

DATA = Path(
    os.environ.get("NEARFIELD_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
)
SETS = {"minilm-debian": "cosine", "glove100": "cosine", "sift": "l2", "made up": "ip"}
ROWS = 1200


def slices(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return rows spread over a data set and a thousand queries."""
    if name == "made up":
        rng = np.random.default_rng(11)
        rows = rng.standard_normal((ROWS, 75)) * np.exp(rng.standard_normal((ROWS, 1)))
        return rows.astype(np.float32), rng.standard_normal((1000, 75)).astype(np.float32)
    base = DATA / name / "base.npy"
    if not base.is_file():
        pytest.skip(f"no data set {name} in {DATA}; set NEARFIELD_DATA")
    rows = np.load(base, mmap_mode="r")
    queries = np.load(DATA / name / "queries.npy", mmap_mode="r")
    return np.array(rows[:: len(rows) // ROWS][:ROWS]), np.array(queries[:1000])


@pytest.mark.parametrize("storage", ["as stored", pytest.param("float32", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SETS)
def test_levels_give_the_same_bytes(name: str, storage: str, levels: list[Level]) -> None:
    rows, queries = slices(name)
    if storage == "float32":
        if rows.dtype == np.float32:
            pytest.skip("stored as float32 already")
        rows = rows.astype(np.float32)
    args = (rows, queries.astype(np.float32), SETS[name], storage == "float32")
    found = {level.name: level.call("reliability.level_digests:digests", *args) for level in levels}
    assert "portable" in found
    for level, digests in found.items():
        assert digests == found["portable"], f"{name}: {level} and portable differ"
