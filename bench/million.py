"""A million rows built and searched in small memory: python -m bench.million --out FOLDER.

The rows, 384 dimensions in float16, are made once and kept in ``--work``. The first ones are real:
the base of the set that ``python -m bench.pareto make debian-sentences`` writes. The rest are
perturbed copies of rows of it: a random row moved in a random direction (on the unit sphere) by the
median distance of a real row to its nearest neighbour. Queries are the set's own held-out
ones, filled up to a batch of 10,000 as ``bench/pareto`` does.

The index gets the rows in pieces that are read from the file, never mapped, so that resident memory
holds the index and one piece. The peak is the operating system's high-water mark of this process
over building and searching. Rows are made in another process, and the exact answers that recall is
counted against are found after the peak was read.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.pareto.datasets import data_root, query_pool, unit_rows
from bench.pareto.environment import header
from bench.pareto.judge import Array, hits

SEED = 20_240_607
BATCH = 10_000
JUDGED = 1_000
K = 10
PIECE = 65_536
SAMPLE = 1_000  # real rows whose nearest neighbour sets the length of the noise
ROWS_FILE = "rows-{rows}.npy"


@dataclass(frozen=True)
class Point:
    """One measured setting."""

    nprobe: int
    batch: int
    threads: int
    qps: float
    recall: float


def nearest_distance(real: Array) -> float:
    """Median distance of a sampled row to the nearest other row."""
    import nearfield as nf

    rows = unit_rows(real.astype(np.float32))
    chosen = np.random.default_rng(SEED).choice(len(rows), min(SAMPLE, len(rows)), replace=False)
    found = nf.topk(rows[chosen], rows, 2, metric="ip")
    others = found.scores[np.arange(len(chosen)), np.where(found.ids[:, 0] == chosen, 1, 0)]
    return float(np.median(np.sqrt(np.maximum(0.0, 2.0 - 2.0 * others))))


def perturbed(real: Array, picks: Array, length: float, rng: np.random.Generator) -> Array:
    """Copies of the picked rows, turned in a random direction until they are that far away."""
    rows = unit_rows(real[picks].astype(np.float32))
    noise = rng.standard_normal(rows.shape, dtype=np.float32)
    noise = unit_rows(noise - np.einsum("nd,nd->n", noise, rows)[:, None] * rows)
    angle = 2.0 * np.arcsin(min(length / 2.0, 1.0))
    moved: Array = np.cos(angle) * rows + np.sin(angle) * noise
    return moved.astype(np.float16)


def make_rows(source: Path, path: Path, rows: int) -> None:
    """Write the rows: real ones first, then perturbed copies; and what is what, as JSON beside."""
    real = np.load(source / "base.npy", mmap_mode="r")
    count = min(rows, len(real))
    length = nearest_distance(np.asarray(real[:count])) if count < rows else 0.0
    rng = np.random.default_rng(SEED)
    fresh = path.with_suffix(".tmp.npy")
    out = np.lib.format.open_memmap(fresh, "w+", np.float16, (rows, real.shape[1]))
    out[:count] = real[:count]
    for first in range(count, rows, PIECE):
        last = min(first + PIECE, rows)
        out[first:last] = perturbed(real, rng.integers(0, count, last - first), length, rng)
    out.flush()
    fresh.rename(path)
    words = {"rows": rows, "real_rows": count, "noise_length": length}
    path.with_suffix(".json").write_text(json.dumps(words))


def read_pieces(path: Path) -> Iterator[Array]:
    """Consecutive rows, read into memory of their own."""
    shape = np.load(path, mmap_mode="r").shape
    with open(path, "rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        for first in range(0, shape[0], PIECE):
            count = min(PIECE, shape[0] - first)
            yield np.fromfile(file, np.float16, count * shape[1]).reshape(count, shape[1])


def sample_rows(path: Path, count: int) -> Array:
    """Rows to train on, drawn evenly over the file."""
    rng = np.random.default_rng(SEED)
    total = np.load(path, mmap_mode="r").shape[0]
    parts = []
    for piece in read_pieces(path):
        share = min(len(piece), round(count * len(piece) / total))
        parts.append(piece[np.sort(rng.choice(len(piece), share, replace=False))])
    return np.concatenate(parts)


def peak_mib() -> float:
    """High-water mark of resident memory in MiB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (2**20 if sys.platform == "darwin" else 2**10)


def exact_kth(path: Path, queries: Array) -> Array:
    """Score of the exact k-th neighbour in float64, from exact search piece by piece."""
    import nearfield as nf

    best = np.full((len(queries), K), -np.inf)
    for piece in read_pieces(path):
        rows = unit_rows(piece.astype(np.float32))
        ids = nf.topk(queries, rows, K, metric="ip").ids
        wide = np.einsum("qkd,qd->qk", rows[ids].astype(np.float64), queries.astype(np.float64))
        best = -np.sort(-np.concatenate([best, wide], axis=1), axis=1)[:, :K]
    return best[:, -1]


def recall(answers: Array, path: Path, queries: Array, kth: Array) -> float:
    """Tie-aware recall of the first queries' answers."""
    stored = np.load(path, mmap_mode="r")
    named, places = np.unique(np.maximum(answers, 0), return_inverse=True)
    rows = unit_rows(np.asarray(stored[named]).astype(np.float32))
    ids = np.where(answers < 0, -1, places.reshape(answers.shape))
    return hits(ids, rows, queries, kth, "ip", 1.0) / answers.size


def median_seconds(call: Callable[[], Any], repeats: int) -> float:
    """Median time of a call, after one that warms up."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def build(path: Path, args: argparse.Namespace) -> tuple[Any, dict[str, float]]:
    """Train on a sample, add piece by piece."""
    import nearfield as nf

    dim = np.load(path, mmap_mode="r").shape[1]
    refine = {"refine": args.refine} if args.refine else {}
    index = nf.IVFIndex(dim, args.nlist, "cosine", quantizer=args.quantizer, **refine)
    start = time.perf_counter()
    index.train(sample_rows(path, args.train_rows), threads=args.threads)
    trained = time.perf_counter()
    for piece in read_pieces(path):
        index.add(piece, threads=args.threads)
    added = time.perf_counter()
    return index, {"train_s": trained - start, "add_s": added - trained}


def search(index: Any, queries: Array, args: argparse.Namespace) -> list[tuple[Point, Array]]:
    """Time the batch on all threads and single queries on one; recall is filled in later."""
    out = []
    for nprobe in args.nprobe:
        many = {"k": K, "nprobe": nprobe, "threads": args.threads}
        spent = median_seconds(lambda many=many: index.search(queries, **many), args.repeats)  # type: ignore[misc]
        answers = index.search(queries, **many).ids[:JUDGED]
        out.append((Point(nprobe, len(queries), args.threads, len(queries) / spent, 0.0), answers))
        alone = {"k": K, "nprobe": nprobe, "threads": 1}

        def one_by_one(alone: dict[str, int] = alone) -> None:
            for query in queries[:JUDGED]:
                index.search(query, **alone)

        spent = median_seconds(one_by_one, 1)
        out.append((Point(nprobe, 1, 1, min(JUDGED, len(queries)) / spent, 0.0), answers))
    return out


def report(result: dict[str, Any]) -> str:
    """Readable page."""
    lines = [
        f"# {result['rows']:,} x {result['dim']}, IVF{result['nlist']}, {result['quantizer']}"
        + (f" refined by {result['refine']}" if result["refine"] else ""),
        "",
        f"{result['real_rows']:,} real rows; {result['rows'] - result['real_rows']:,} perturbed "
        f"copies at distance {result['noise_length']:.3f}. {result['header']['cpu']}, "
        f"{result['threads']} threads; commit {result['header']['commit']}.",
        "",
        f"- build: train {result['train_s']:.1f} s, add {result['add_s']:.1f} s",
        f"- index: {result['bytes_per_vector']:.1f} bytes per vector (`nbytes`)",
        f"- peak resident memory: {result['peak_build_mib']:,.0f} MiB after building, "
        f"{result['peak_mib']:,.0f} MiB after searching "
        f"({result['start_mib']:,.0f} MiB before the index)",
        "",
        "| nprobe | batch | threads | QPS | recall@10 |",
        "|---|---|---|---|---|",
    ]
    for point in result["points"]:
        lines.append(
            f"| {point['nprobe']} | {point['batch']:,} | {point['threads']} "
            f"| {point['qps']:,.0f} | {point['recall']:.4f} |"
        )
    return "\n".join(lines) + "\n"


def parse() -> argparse.Namespace:
    """Options."""
    parser = argparse.ArgumentParser(prog="python -m bench.million", description=__doc__)
    add = parser.add_argument
    add("--rows", type=int, default=1_000_000)
    add("--data", type=Path, default=data_root() / "debian-sentences", help="the real rows")
    add("--work", type=Path, help="where the rows' file is kept (default: --out)")
    add("--out", type=Path, required=True, help="folder for million.json and million.md")
    add("--nlist", type=int, default=4096)
    add("--quantizer", default="float16")
    add("--refine", default="", help="second store, where the quantizer takes one")
    add("--train-rows", type=int, default=262_144)
    add("--threads", type=int, default=2)
    add("--repeats", type=int, default=3)
    add("--nprobe", type=int, nargs="+", default=[4, 8, 16, 32, 64, 128, 256])
    return parser.parse_args()


def main() -> None:
    """Make the rows if need be, build, search, judge, write."""
    args = parse()
    args.out.mkdir(parents=True, exist_ok=True)
    path = (args.work or args.out) / ROWS_FILE.format(rows=args.rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.with_suffix(".json").exists():
        context = multiprocessing.get_context("spawn")
        maker = context.Process(target=make_rows, args=(args.data, path, args.rows))
        maker.start()
        maker.join()
        if maker.exitcode:
            sys.exit(f"making {path} failed")
    about = json.loads(path.with_suffix(".json").read_text())
    stored = unit_rows(np.load(args.data / "queries.npy").astype(np.float32))
    queries = unit_rows(query_pool(stored, BATCH, integral=False)[:BATCH])
    start = peak_mib()
    index, seconds = build(path, args)
    peak_build = peak_mib()
    measured = search(index, queries, args)
    result = {
        **about,
        **seconds,
        "dim": index.dim,
        "nlist": args.nlist,
        "quantizer": args.quantizer,
        "refine": args.refine,
        "threads": args.threads,
        "bytes_per_vector": index.nbytes / len(index),
        "start_mib": start,
        "peak_build_mib": peak_build,
        "peak_mib": peak_mib(),
    }
    judged = queries[: min(JUDGED, len(stored))]
    kth = exact_kth(path, judged)
    points = []
    for point, answers in measured:
        share = recall(answers[: len(judged)], path, judged, kth)
        points.append({**asdict(point), "recall": share})
    result |= {
        "points": points,
        "header": header("million", {k: str(v) for k, v in vars(args).items()}),
    }
    (args.out / "million.json").write_text(json.dumps(result, indent=1) + "\n")
    (args.out / "million.md").write_text(report(result))
    print(report(result), end="")


if __name__ == "__main__":
    main()
