"""Codes beside faiss's codes of the same size: python -m bench.quantizers --data FOLDER [SET ...].

For every set and code, both libraries train on the base rows and encode them; printed are

bytes    of one code, ours and faiss's
error    mean squared distance between rows and decoded rows, and its ratio to faiss's, which
         decodes RaBitQ codes of several bits by their first bit alone
recall   share of the exact 10 nearest rows among the 10 nearest decoded rows: what exhaustive
         search by code finds, computed for both by the same exact search over decoded rows; of
         faiss's RaBitQ codes, what its own search by their estimates finds, queries unquantised.
         Its IndexRaBitQ leaves the rotation that the codes are defined with to the caller:
         a random one stands before it ("RR")
encode   thousands of rows a second on one thread, medians of interleaved runs
train    seconds on all threads

Sets are folders with base.npy, queries.npy and gt_ids.npy, see bench/README.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

METRICS = {"minilm-debian": "ip", "glove100": "ip", "sift": "l2"}
CODES = {
    "minilm-debian": ["sq8", "sq4", "pq48x8", "pq96x4", "opq48x8", "rabitq1", "rabitq4"],
    "glove100": ["sq8", "sq4", "pq25x8", "pq50x8", "pq50x4", "opq25x8", "rabitq1", "rabitq4"],
    "sift": ["sq8", "sq4", "pq16x8", "pq32x8", "pq64x4", "opq16x8", "rabitq1", "rabitq4"],
}
ENCODED = 20_000  # rows of one timed run


def rows_of(folder: Path, part: str, metric: str, count: int | None = None) -> Array:
    """Return rows as float32, unit vectors for angular sets."""
    rows = np.load(folder / f"{part}.npy")[:count].astype(np.float32)
    if metric == "ip":
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def ours(name: str) -> nf.quant.Quantizer:
    """Make one of our quantizers."""
    if name.startswith("sq"):
        return nf.quant.ScalarQuantizer(int(name[2:]))
    if name.startswith("rabitq"):
        return nf.quant.RabitQuantizer(int(name[6:]))
    kind = nf.quant.OPQ if name.startswith("opq") else nf.quant.ProductQuantizer
    m, nbits = name[name.index("pq") + 2 :].split("x")
    return kind(int(m), nbits=int(nbits))


def theirs(name: str, dim: int, metric: str) -> Any:
    """Make faiss's codec of the same form."""
    import faiss

    if name.startswith("sq"):
        scalar = faiss.ScalarQuantizer
        return faiss.IndexScalarQuantizer(dim, scalar.QT_8bit if name == "sq8" else scalar.QT_4bit)
    if name.startswith("rabitq"):
        kind = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
        signs = faiss.IndexRaBitQ(dim, kind, int(name[6:]))
        signs.qb = 0
        return rotated(faiss.RandomRotationMatrix(dim, dim), signs)
    m, nbits = (int(number) for number in name[name.index("pq") + 2 :].split("x"))
    product = faiss.IndexPQ(dim, m, nbits)
    return rotated(faiss.OPQMatrix(dim, m), product) if name.startswith("opq") else product


def rotated(rotation: Any, index: Any) -> Any:
    """Return faiss's index behind a rotation, which owns both."""
    import faiss

    rotation.this.disown()
    index.this.disown()
    chain = faiss.IndexPreTransform(rotation, index)
    chain.own_fields = True
    return chain


def seconds(call: Callable[[], object]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def recall(decoded: Array, queries: Array, metric: str, exact: NDArray[np.integer]) -> float:
    """Return the mean share of the exact neighbours among those of decoded rows."""
    found = nf.topk(queries, decoded, k=exact.shape[1], metric=metric).ids  # type: ignore[arg-type]
    return overlap(found, exact)


def overlap(found: NDArray[np.integer], exact: NDArray[np.integer]) -> float:
    """Return the mean share of the exact neighbours that were found."""
    hits = [len(set(a) & set(b)) for a, b in zip(found.tolist(), exact.tolist(), strict=True)]
    return float(np.mean(hits)) / exact.shape[1]


def squared_error(rows: Array, decoded: Array) -> float:
    """Return the mean squared distance."""
    return float(np.mean([((a - b) ** 2).sum() for a, b in zip(rows, decoded, strict=True)]))


def compare(
    folder: Path, set_name: str, codes: list[str], queries: int, repeats: int
) -> Iterator[str]:
    """Yield the table's lines of one set."""
    import faiss

    metric = METRICS[set_name]
    base, asked = (
        rows_of(folder / set_name, part, metric, count)
        for part, count in (("base", None), ("queries", queries))
    )
    exact = np.load(folder / set_name / "gt_ids.npy")[:queries, :10]
    sample = base[:ENCODED]
    for name in codes:
        faiss.omp_set_num_threads(nf.num_threads())
        mine, other = ours(name), theirs(name, base.shape[1], metric)
        training = seconds(lambda m=mine: m.train(base)), seconds(lambda o=other: o.train(base))
        decoded = mine.decode(mine.encode(base))
        decoded_other = other.sa_decode(other.sa_encode(base))
        errors = squared_error(base, decoded), squared_error(base, decoded_other)
        found = [recall(rows, asked, metric, exact) for rows in (decoded, decoded_other)]
        if name.startswith("rabitq"):
            other.add(base)
            found[1] = overlap(other.search(asked, exact.shape[1])[1], exact)
        faiss.omp_set_num_threads(1)
        times = [
            (
                seconds(lambda m=mine: m.encode(sample, threads=1)),
                seconds(lambda o=other: o.sa_encode(sample)),
            )
            for _ in range(repeats)
        ]
        rate = len(sample) / np.median(times, axis=0) / 1000
        yield (
            f"| {set_name} | {name} | {mine.code_size} | {other.sa_code_size()} "
            f"| {errors[0]:.5g} | {errors[1]:.5g} | {errors[0] / errors[1]:.4f} "
            f"| {found[0]:.4f} | {found[1]:.4f} "
            f"| {rate[0]:,.0f} | {rate[1]:,.0f} | {rate[0] / rate[1]:.1f}x "
            f"| {training[0]:.1f} | {training[1]:.1f} |"
        )


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sets", nargs="*", default=list(METRICS), metavar="SET")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--codes", help="comma-separated, instead of the usual ones")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    print(
        "| set | code | bytes | faiss | error | faiss | ratio | recall@10 | faiss "
        "| encode k/s | faiss | ratio | train s | faiss |\n" + "|---" * 14 + "|"
    )
    for set_name in args.sets:
        codes = args.codes.split(",") if args.codes else CODES[set_name]
        for line in compare(args.data, set_name, codes, args.queries, args.repeats):
            print(line, flush=True)


if __name__ == "__main__":
    main()
