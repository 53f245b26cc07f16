"""Filtered search at every selectivity: python -m bench.filtered --data SET --out FOLDER.

One query a call on one thread, ten answers wanted, of rows that a filter lets answer: a share of
all rows drawn at random ("random"), or those nearest to a random row ("near"), which most queries
are far from. Several filters of each kind and size are made, and every method meets each of them
with the same queries, in turn with the others; what a library makes of a filter beforehand (a
bitmap, a set) is not timed. faiss gets an IDSelectorBitmap (``--selector batch``: IDSelectorBatch),
hnswlib a Python function, the one way it has.

Recall is counted against exact search among the rows that may answer, aware of ties: of ten, or of
all where fewer match. An asterisk marks a cell where some query got fewer answers than that.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.filtered_searchers import SEARCHERS, FaissFlat, K, Searcher
from bench.pareto.datasets import Dataset, Source, load
from bench.pareto.environment import header
from bench.pareto.judge import Array, exact_neighbours, hits
from bench.pareto.measure import one_line
from bench.pareto.methods import Params
from bench.pareto.methods.base import required

SEED = 20_240_607
SHARES = (0.0001, 0.001, 0.01, 0.1, 0.5)
KINDS = ("random", "near")


@dataclass
class Point:
    """One method and setting through all filters of a kind and size."""

    method: str
    params: Params
    kind: str
    share: float
    matches: int
    queries: int = 0
    seconds: float = 0.0
    right: int = 0
    wanted: int = 0
    short: int = 0
    outside: int = 0

    @property
    def recall(self) -> float:
        """Share of the answers that there are."""
        return self.right / self.wanted

    @property
    def qps(self) -> float:
        """Queries per second."""
        return self.queries / self.seconds

    def judge(self, ids: Array, data: Dataset, mask: Array, kth: Array) -> None:
        """Count the answers to the first queries."""
        wanted = min(K, self.matches)
        real = ids >= 0
        inside = real & mask[np.where(real, ids, 0)]
        self.outside += int((real & ~inside).sum())
        self.short += int((inside.sum(axis=1) < wanted).sum())
        asked = data.pool[: len(ids)]
        answers = np.where(inside, ids, -1)
        self.right += hits(
            answers, data.base, asked, kth[: len(ids)], data.metric, data.largest_norm
        )
        self.wanted += wanted * len(ids)


def filters(data: Dataset, kind: str, share: float, count: int) -> Iterator[Array]:
    """Masks of a kind and size, the same for every method."""
    rng = np.random.default_rng([SEED, KINDS.index(kind), round(share * 1e6)])
    matches = max(1, round(share * data.n))
    for _ in range(count):
        if kind == "random":
            chosen = rng.choice(data.n, matches, replace=False)
        else:
            middle = data.base[rng.integers(data.n)]
            away = -(data.base @ middle)
            if data.metric == "l2":
                away = 2.0 * away + np.einsum("nd,nd->n", data.base, data.base)
            chosen = np.argpartition(away, matches - 1)[:matches]
        mask = np.zeros(data.n, bool)
        mask[chosen] = True
        yield mask


def ask(call: Callable[[Array], Array], queries: Array, seconds: float) -> tuple[Array, float]:
    """Ask one query after the other until the time is up; the first of all warms up, untimed."""
    call(queries[:1])
    found = []
    start = time.perf_counter()
    for i in range(len(queries)):
        found.append(call(queries[i : i + 1]))
        spent = time.perf_counter() - start
        if spent > seconds:
            break
    ids = np.full((len(found), K), -1, np.int64)
    for row, answer in zip(ids, found, strict=True):
        row[: answer.shape[1]] = answer[0].astype(np.int64)
    return ids, spent


def built(names: Sequence[str], data: Dataset, args: argparse.Namespace) -> list[Searcher]:
    """Build what can be built; the others are reported in one line each."""
    out = []
    for name in names:
        start = time.perf_counter()
        try:
            out.append(SEARCHERS[name](data, args.threads, args.selector))
        except Exception as error:
            print(f"  {name}: left out: {one_line(error)}", flush=True)
            continue
        print(f"  {name}: built in {time.perf_counter() - start:.1f} s", flush=True)
    return out


def measure(
    searchers: Sequence[Searcher], data: Dataset, kind: str, share: float, args: argparse.Namespace
) -> list[Point]:
    """All methods and settings through the filters of one kind and size."""
    entries = [(searcher, params) for searcher in searchers for params in searcher.settings]
    matches = max(1, round(share * data.n))
    points = [Point(s.name, dict(params), kind, share, matches) for s, params in entries]
    queries = data.pool[: min(args.queries, data.judged)]
    for mask in filters(data, kind, share, args.filters):
        exact = exact_neighbours(data.base[mask], queries, min(K, matches), data.metric)[1]
        for (searcher, params), point in zip(entries, points, strict=True):
            allowed = searcher.allow(mask, params)
            found, spent = ask(
                lambda query, s=searcher, a=allowed: s.search(query, a),  # type: ignore[misc]
                queries,
                args.seconds,
            )
            point.queries += len(found)
            point.seconds += spent
            point.judge(found, data, mask, exact[:, -1])
    return points


def report(result: dict[str, Any], points: Sequence[Point]) -> str:
    """Readable page."""
    about = result["header"]
    lines = [
        f"# Filtered search: {result['data']}, {result['rows']:,} x {result['dim']}",
        "",
        f"recall@{K} / queries per second, one query a call, one thread; {result['filters']} "
        f"filters each. {about['cpu']}; commit {about['commit']}. "
        "*: some query got too few answers.",
    ]
    shares = sorted({point.share for point in points})
    for kind in sorted({point.kind for point in points}, reverse=True):
        lines += ["", f"## {kind}", ""]
        lines.append("| method | " + " | ".join(f"{share:.2%}" for share in shares) + " |")
        lines.append("|---|" + "---|" * len(shares))
        rows: dict[str, dict[float, str]] = {}
        for point in (point for point in points if point.kind == kind):
            words = " ".join([point.method, *(f"{k}={v}" for k, v in point.params.items())])
            cell = f"{point.recall:.3f}{'*' if point.short else ''} / {point.qps:,.0f}"
            rows.setdefault(words, {})[point.share] = cell
        for words, cells in rows.items():
            lines.append(f"| {words} | " + " | ".join(cells.get(s, "-") for s in shares) + " |")
    wrong = sorted({point.method for point in points if point.outside})
    lines += ["", f"Answers outside the filter: {', '.join(wrong)}."] if wrong else []
    return "\n".join(lines) + "\n"


def parse() -> argparse.Namespace:
    """Options."""
    parser = argparse.ArgumentParser(prog="python -m bench.filtered", description=__doc__)
    add = parser.add_argument
    add("--data", default="minilm-debian", help="a set as bench.pareto takes it")
    add("--rows", type=int, default=0, help="only so many of its rows")
    add("--out", type=Path, required=True, help="folder for filtered.json and filtered.md")
    add("--methods", default=",".join(SEARCHERS), help="comma list (default: all)")
    add("--shares", type=float, nargs="+", default=list(SHARES), help="of the rows, 0 to 1")
    add("--filters", type=int, default=5, help="of each kind and size")
    add("--queries", type=int, default=200, help="through each filter, at most")
    add("--seconds", type=float, default=0.2, help="of one method with one setting and filter")
    add("--selector", choices=["bitmap", "batch"], default="bitmap", help="what faiss gets")
    add("--threads", type=int, default=2, help="for building")
    return parser.parse_args()


def main() -> None:
    """Build, measure kind by kind and size by size, write."""
    args = parse()
    data = load(Source(args.data, args.rows))
    print(f"{data.name}: {data.n} x {data.dim}, metric {data.metric}", flush=True)
    searchers = built(args.methods.split(","), data, args)
    if any(isinstance(searcher, FaissFlat) for searcher in searchers):
        required("faiss").omp_set_num_threads(1)
    points: list[Point] = []
    for kind in KINDS:
        for share in args.shares:
            points += measure(searchers, data, kind, share, args)
            print(f"  {kind} {share:.2%} done", flush=True)
    result = {
        "data": data.name,
        "rows": data.n,
        "dim": data.dim,
        "filters": args.filters,
        "points": [{**asdict(p), "recall": p.recall, "qps": p.qps} for p in points],
        "header": header("filtered", {k: str(v) for k, v in vars(args).items()}),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "filtered.json").write_text(json.dumps(result, indent=1) + "\n")
    (args.out / "filtered.md").write_text(report(result, points))
    print(report(result, points), end="")


if __name__ == "__main__":
    main()
