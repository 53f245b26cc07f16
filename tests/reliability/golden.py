"""The golden files of format version 1: `python -m reliability.golden` from tests/ writes new ones.

Written once per format version and kept: every later release must open them and answer the same.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from reliability.samples import (
    ADAPTED,
    CODED,
    GRAPHS,
    KINDS,
    LISTED,
    SHARES,
    Links,
    build,
    queries_of,
)

FOLDER = Path(__file__).resolve().parents[1] / "data" / "format-1"
ROWS, DIM, QUERIES, K = 24, 20, 6, 26
NAMES = [
    *((metric, storage, i % 2 == 1, 0) for i, (metric, storage) in enumerate(KINDS)),
    *LISTED,
    *CODED,
    *GRAPHS,
    *ADAPTED,
]


def name_of(metric: str, storage: str, labelled: bool, nlist: int) -> str:
    """Return the name of a golden file without its suffix."""
    name = f"{metric}-{storage}-{'labelled' if labelled else 'numbered'}"
    if isinstance(nlist, Links):
        return f"hnsw{int(nlist)}-{name}"
    return f"ivf{nlist}-{name}" if nlist else name


def main() -> None:
    """Write the files that do not exist yet."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for metric, storage, labelled, nlist in NAMES:
        path = FOLDER / f"{name_of(metric, storage, labelled, nlist)}.nf"
        if path.exists():
            continue
        index = build(metric, storage, labelled, ROWS, DIM, nlist)
        index.save(path)
        ids, scores, _ = index.search(queries_of(QUERIES, DIM), k=K)
        np.save(path.with_suffix(".ids.npy"), ids)
        np.save(path.with_suffix(".scores.npy"), scores)
        for i, share in enumerate(SHARES if index.corpus_adapters else []):
            ids, scores, _ = index.search(queries_of(QUERIES, DIM), k=K, corpus_adapter=share)
            np.save(path.with_suffix(f".{i}.ids.npy"), ids)
            np.save(path.with_suffix(f".{i}.scores.npy"), scores)


if __name__ == "__main__":
    main()
