"""k-means beside faiss.Kmeans: python -m bench.kmeans --data FOLDER [--out FOLDER].

Equal work: the same rows (faiss is told not to take a sample), the same starting centroids, the
same number of iterations. Both are timed in turn, in one process per level, after one untimed run
of each; medians. Our time includes the labels of all rows, which is one assignment more than faiss
makes. The inertia is that of the final centroids of both, computed by faiss.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.pareto.environment import header

SETS = ("minilm-debian", "glove100")


def rows_of(data: Path, name: str) -> Any:
    """Unit vectors, float32."""
    rows = np.load(data / name / "base.npy").astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def inertia(rows: Any, centroids: Any) -> float:
    """Sum of squared distances to the nearest centroids."""
    import faiss

    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(centroids)
    return float(index.search(rows, 1)[0].sum(dtype=np.float64))


def compare(rows: Any, k: int, args: argparse.Namespace) -> dict[str, Any]:
    """Time both on one set and one k."""
    import faiss
    import nearfield as nf

    faiss.omp_set_num_threads(args.threads)
    start = rows[np.random.default_rng(args.seed).permutation(len(rows))[:k]]
    ours = nf.KMeans(k, args.niter, tolerance=0.0, threads=args.threads)
    theirs = faiss.Kmeans(
        rows.shape[1],
        k,
        niter=args.niter,
        max_points_per_centroid=len(rows),
        min_points_per_centroid=1,
    )
    times: dict[str, list[float]] = {"nearfield": [], "faiss": []}
    for turn in range(args.repeats + 1):
        runs = {
            "nearfield": lambda: ours.fit(rows, init=start),
            "faiss": lambda: theirs.train(rows, init_centroids=start),
        }
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            if turn:
                times[name].append(time.perf_counter() - begin)
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        "isa": nf.isa(),
        "rows": len(rows),
        "dim": rows.shape[1],
        "k": k,
        "niter": args.niter,
        "iterations": ours.n_iter_,
        "threads": args.threads,
        "seconds": times,
        "median": medians,
        "speed": medians["faiss"] / medians["nearfield"],
        "slowest_over_fastest": min(times["faiss"]) / max(times["nearfield"]),
        "inertia": inertia(rows, ours.centroids) / inertia(rows, theirs.centroids),
    }


def run_level(args: argparse.Namespace) -> None:
    """Print one JSON line per set and k, at the level of this process."""
    for name in args.sets:
        rows = rows_of(args.data, name)
        for k in args.k:
            print(json.dumps({"set": name, **compare(rows, k, args)}), flush=True)


def table(records: list[dict[str, Any]]) -> str:
    """Return the records as a table."""
    lines = [
        "| set | k | level | nearfield s | faiss s | speed | slowest over fastest | inertia |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in records:
        lines.append(
            f"| {r['set']} {r['rows']:,} x {r['dim']} | {r['k']:,} | {r['isa']} "
            f"| {r['median']['nearfield']:.2f} | {r['median']['faiss']:.2f} | {r['speed']:.1f}x "
            f"| {r['slowest_over_fastest']:.1f}x | {r['inertia']:.5f} |"
        )
    return "\n".join(lines)


def parse(words: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--k", nargs="+", type=int, default=[1024, 4096])
    parser.add_argument("--isa", nargs="+", default=["amx", "avx512"])
    parser.add_argument("--niter", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="folder for records.jsonl and table.md")
    parser.add_argument("--level", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(words)


def main() -> None:
    """Run a process per level, print the table."""
    args = parse(sys.argv[1:])
    if args.level:
        run_level(args)
        return
    records = []
    for isa in args.isa:
        child = [sys.executable, "-m", "bench.kmeans", *sys.argv[1:], "--level"]
        environment = {**os.environ, "NEARFIELD_ISA": isa}
        with subprocess.Popen(child, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                records.append(json.loads(line))
                print(table(records[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
        if process.returncode:
            sys.exit(f"NEARFIELD_ISA={isa}: exit status {process.returncode}")
    print(table(records))
    if args.out is not None:
        write(args, records)


def write(args: argparse.Namespace, records: list[dict[str, Any]]) -> None:
    """Write what a later reader needs."""
    command = "python -m bench.kmeans " + " ".join(
        word for word in sys.argv[1:] if not word.startswith("/")
    )
    head = header("k-means", {"command": command})
    versions = head["versions"]
    args.out.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(head), *map(json.dumps, records)]
    (args.out / "records.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = (
        f"# k-means, {head['date']}\n\n{head['cpu']}, {head['cores']} cores, {head['isa']}; commit "
        f"{head['commit']}; faiss-cpu {versions.get('faiss-cpu', '?')}, numpy "
        f"{versions.get('numpy', '?')}.\n\n{__doc__.split(chr(10), 2)[2].strip()}\n\n"
        f"{args.threads} threads, {args.niter} iterations, {args.repeats} runs each.\n\n"
        f"{table(records)}\n"
    )
    (args.out / "table.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
