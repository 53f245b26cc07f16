"""Rows that come and go: python -m bench.stream --data SET --out FOLDER.

An index starts with half of the rows. Each step removes a tenth of the live rows, drawn at random,
and adds as many that are not live, until ten times as many rows have come as are live. Every method
gets the same steps, one method after the other, on the same number of threads. From time to time
the index is asked: recall@10 against exact search among the live rows, aware of ties, by a batch
with one setting throughout. At the end the same method builds an index of the live rows anew:
what it finds is what the stream should not have lost.

Operations are rows removed and rows added; a step's time holds everything that a user must call
(marking, consolidating). faiss's HNSW takes no part: it cannot remove.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.pareto.datasets import Dataset, Source, load
from bench.pareto.environment import header
from bench.pareto.judge import Array, exact_neighbours, hits
from bench.pareto.measure import one_line
from bench.pareto.timing import Watch
from bench.stream_updaters import UNABLE, UPDATERS, Updater

SEED = 20_240_607
K = 10


@dataclass(frozen=True)
class Step:
    """One exchange of rows, as labels (row numbers of the data set)."""

    gone: Array
    come: Array


@dataclass
class Point:
    """What an index was seen to do: an exchange, and a look at its answers where there was one."""

    turnover: float
    remove_s: float = 0.0
    add_s: float = 0.0
    rows: int = 0
    recall: float | None = None
    qps: float | None = None
    dead: int = 0
    foreign_s: float = 0.0

    @property
    def operations_per_s(self) -> float:
        """Rows removed and added per second."""
        return 2 * self.rows / max(self.remove_s + self.add_s, 1e-9)


@dataclass
class Course:
    """One method through the whole stream."""

    method: str
    build_s: float
    points: list[Point] = field(default_factory=list)
    fresh: Point | None = None

    def rate(self, part: slice) -> float:
        """Operations per second over some of the steps."""
        steps = [point for point in self.points if point.rows][part]
        spent = sum(point.remove_s + point.add_s for point in steps)
        return 2 * sum(point.rows for point in steps) / max(spent, 1e-9)


def make_steps(rows: int, share: float, turnover: float) -> tuple[Array, list[Step], Array]:
    """Labels that are live at first, the exchanges, and the labels that are live at the end."""
    rng = np.random.default_rng(SEED)
    shuffled = rng.permutation(rows)
    live, waiting = shuffled[: rows // 2], shuffled[rows // 2 :]
    start, steps = live.copy(), []
    count = max(1, round(share * len(live)))
    for _ in range(round(turnover / share)):
        live, waiting = rng.permutation(live), rng.permutation(waiting)
        step = Step(live[:count].copy(), waiting[:count].copy())
        steps.append(step)
        live = np.concatenate([live[count:], step.come])
        waiting = np.concatenate([waiting[count:], step.gone])
    return start, steps, live


def look(updater: Updater, data: Dataset, live: Array, queries: int, point: Point) -> None:
    """Ask a batch, after one that warms up, and judge the answers."""
    asked = data.pool[: min(queries, data.judged)]
    updater.search(asked[:16], K)
    with Watch() as watch:
        answers = np.asarray(updater.search(asked, K)).astype(np.int64)
    mask = np.zeros(data.n, bool)
    mask[live] = True
    named = (answers >= 0) & (answers < data.n)
    good = named & mask[np.where(named, answers, 0)]
    kth = exact_neighbours(data.base[mask], asked, K, data.metric)[1][:, -1]
    judged = np.where(good, answers, -1)
    right = hits(judged, data.base, asked, kth, data.metric, data.largest_norm)
    point.recall, point.dead = right / answers.size, int((named & ~good).sum())
    point.qps = len(asked) / watch.window.wall


def exchange(updater: Updater, data: Dataset, step: Step, point: Point) -> None:
    """Remove, then add."""
    rows = np.ascontiguousarray(data.base[step.come])
    with Watch() as removing:
        updater.remove(step.gone)
    with Watch() as adding:
        updater.add(rows, step.come)
    point.rows = len(step.gone)
    point.remove_s, point.add_s = removing.window.wall, adding.window.wall
    point.foreign_s = removing.window.foreign + adding.window.foreign


def run(name: str, data: Dataset, args: argparse.Namespace) -> Course:
    """Take one method through the stream."""
    effort = {"ef": args.ef, "nprobe": args.nprobe}
    start, steps, last = make_steps(data.n, args.share, args.turnover)

    def built(labels: Array) -> tuple[Updater, float]:
        rows = np.ascontiguousarray(data.base[labels])
        with Watch() as watch:
            updater = UPDATERS[name](rows, labels, data.metric, args.threads, effort)
        return updater, watch.window.wall

    updater, seconds = built(start)
    course, live = Course(name, seconds, [Point(0.0)]), start
    look(updater, data, live, args.queries, course.points[0])
    for number, step in enumerate(steps, 1):
        point = Point(number * args.share)
        exchange(updater, data, step, point)
        live = np.concatenate([np.setdiff1d(live, step.gone, assume_unique=True), step.come])
        if number % args.every == 0 or number == len(steps):
            look(updater, data, live, args.queries, point)
            print(
                f"  {name}: {point.turnover:.1f} times over, {point.operations_per_s:,.0f} a "
                f"second, recall {point.recall:.4f}",
                flush=True,
            )
        course.points.append(point)
    del updater
    course.fresh = Point(args.turnover)
    fresh, _ = built(last)
    look(fresh, data, last, args.queries, course.fresh)
    return course


def report(result: dict[str, Any], courses: Sequence[Course], missing: dict[str, str]) -> str:
    """Readable page: rates early and late, recall over time and beside a fresh build."""
    seen = [point.turnover for point in courses[0].points if point.recall is not None]
    lines = [
        f"# Rows that come and go: {result['data']}, {result['live']:,} live x {result['dim']}",
        "",
        f"Each step replaces {result['share']:.0%} of the live rows. {result['threads']} threads; "
        f"ef {result['ef']}, nprobe {result['nprobe']}. {result['header']['cpu']}; commit "
        f"{result['header']['commit']}.",
        "",
        "| method | build s | operations/s, first tenth | last tenth | QPS at first | at the end | "
        + " | ".join(f"recall@{K}, {turnover:g}x" for turnover in seen)
        + " | built anew |",
        "|---|" + "---|" * (len(seen) + 6),
    ]
    for course in courses:
        looks = [point for point in course.points if point.recall is not None]
        tenth = max(1, (len(course.points) - 1) // 10)
        fresh = course.fresh.recall if course.fresh else None
        cells = [
            course.method,
            f"{course.build_s:.1f}",
            f"{course.rate(slice(0, tenth)):,.0f}",
            f"{course.rate(slice(-tenth, None)):,.0f}",
            f"{looks[0].qps:,.0f}",
            f"{looks[-1].qps:,.0f}",
            *(f"{point.recall:.4f}" for point in looks),
            f"{fresh:.4f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    if missing:
        lines += ["", *(f"- {name}: left out: {why}" for name, why in missing.items())]
    return "\n".join(lines) + "\n"


def parse() -> argparse.Namespace:
    """Options."""
    parser = argparse.ArgumentParser(prog="python -m bench.stream", description=__doc__)
    add = parser.add_argument
    add("--data", default="minilm-debian", help="a set as bench.pareto takes it")
    add("--rows", type=int, default=0, help="only so many of its rows")
    add("--out", type=Path, required=True, help="folder for stream.json and stream.md")
    add("--methods", default=",".join(UPDATERS), help="comma list (default: all)")
    add("--share", type=float, default=0.1, help="of the live rows, replaced by a step")
    add("--turnover", type=float, default=10.0, help="times that the live rows are replaced")
    add("--every", type=int, default=10, help="steps from one look at the answers to the next")
    add("--queries", type=int, default=1000)
    add("--ef", type=int, default=64, help="breadth of a graph's search")
    add("--nprobe", type=int, default=32, help="lists looked into")
    add("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    """Take every method through the same steps, write."""
    args = parse()
    data = load(Source(args.data, args.rows))
    print(f"{data.name}: {data.n} x {data.dim}, metric {data.metric}", flush=True)
    courses: list[Course] = []
    missing = dict(UNABLE)
    for name in args.methods.split(","):
        try:
            courses.append(run(name, data, args))
        except Exception as error:
            missing[name] = one_line(error)
            print(f"  {name}: left out: {missing[name]}", flush=True)
    words = ("share", "threads", "ef", "nprobe")
    result = {
        "data": data.name,
        "live": data.n // 2,
        "dim": data.dim,
        **{word: getattr(args, word) for word in words},
        "courses": [asdict(course) for course in courses],
        "missing": missing,
        "header": header("stream", {k: str(v) for k, v in vars(args).items()}),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "stream.json").write_text(json.dumps(result, indent=1) + "\n")
    if courses:
        (args.out / "stream.md").write_text(report(result, courses, missing))
        print(report(result, courses, missing), end="")


if __name__ == "__main__":
    main()
