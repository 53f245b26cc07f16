"""One run: per data set build all contestants, measure point by point, write records."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.pareto import records
from bench.pareto.contestant import Built, Contestant, Local, enter
from bench.pareto.datasets import Dataset, Source, load
from bench.pareto.environment import header
from bench.pareto.measure import Entry, Settings, measure, one_line, screen
from bench.pareto.methods import Params
from bench.pareto.records import Record

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 10_000)
RESULTS = Path(__file__).resolve().parents[1] / "results"


@dataclass(frozen=True)
class Job:
    """What to run. ``points`` are (batch, threads); without any, all batches by all threads."""

    name: str
    data: Sequence[str]
    methods: Sequence[str]
    ks: Sequence[int] = (10, 100)
    batches: Sequence[int] = BATCHES
    threads: Sequence[int] = (1, 2)
    points: Sequence[tuple[int, int]] = ()
    rows: int = 0
    queries: int = 0
    isolate: frozenset[str] = frozenset()
    settings: Settings = field(default_factory=Settings)
    results: Path = RESULTS

    def places(self) -> list[tuple[int, int]]:
        """(batch, threads) in the order they are measured in."""
        every = [(batch, threads) for threads in self.threads for batch in self.batches]
        return list(self.points) or every

    @property
    def most_threads(self) -> int:
        """Threads to build with."""
        return max(threads for _, threads in self.places())

    @property
    def largest_batch(self) -> int:
        """Distinct queries needed."""
        return max(batch for batch, _ in self.places())


def say(words: str) -> None:
    """Report on standard error, at once."""
    print(words, file=sys.stderr, flush=True)


def _free_folder(root: Path, name: str) -> Path:
    stem = root / f"{time.strftime('%Y-%m-%d')}-{name}"
    folder, number = stem, 2
    while folder.exists():
        folder, number = stem.with_name(f"{stem.name}-{number}"), number + 1
    return folder


def _describe(entry: Entry, built: Built, data: Dataset, batch: int, threads: int) -> Record:
    rate, recall = entry.rates, entry.recall
    return Record(
        method=entry.contestant.name,
        family=entry.contestant.family,
        params=entry.params,
        data=data.name,
        n=data.n,
        dim=data.dim,
        metric=data.metric,
        k=entry.ask.k,
        batch=batch,
        threads=threads,
        threads_used=entry.ask.threads,
        timed_batch=entry.ask.batch,
        qps=round(rate.median, 2),
        qps_low=round(rate.low, 2),
        qps_high=round(rate.high, 2),
        repeats=rate.repeats,
        foreign_cores=round(rate.foreign_cores, 3),
        recall=None if recall is None else round(recall, 6),
        judged=entry.judged // entry.ask.k,
        build_s=round(built.build_s, 3),
        bytes_per_vector=round(built.bytes_per_vector, 1),
        borrows_base=built.borrows_base,
        isa=built.isa,
        version=built.version,
    )


class _DataRun:
    """All points of one data set."""

    def __init__(self, job: Job, name: str, folder: Path) -> None:
        self._job, self._folder = job, folder
        self._source = Source(name, job.rows, job.queries, job.largest_batch)
        self._data = load(self._source)
        self._built: list[tuple[Contestant, Built]] = []
        say(f"{self._data.name}: {self._data.n} x {self._data.dim}, metric {self._data.metric}")

    def build(self) -> None:
        """Build one contestant after the other; one that fails is reported and left out."""
        for name in self._job.methods:
            contestant: Contestant | None = None
            isolate = name in self._job.isolate or "all" in self._job.isolate
            try:
                contestant = enter(name, self._data, self._source, isolate)
                built = contestant.build(self._job.most_threads)
            except Exception as error:
                say(f"  {name}: left out: {one_line(error)}")
                if contestant is not None and not isinstance(contestant, Local):
                    contestant.close()
                continue
            self._built.append((contestant, built))
            say(f"  {name}: built in {built.build_s:.2f} s, {built.bytes_per_vector:.0f} B/vector")

    def _settings_to_time(self, k: int, single: bool) -> list[tuple[Contestant, Built, Params]]:
        """What is worth timing depends on how queries come: one at a time or in batches."""
        chosen = []
        threads = 1 if single else self._job.most_threads
        for contestant, built in self._built:
            try:
                worth = screen(
                    contestant, k, threads, self._job.settings, self._data.judged, single
                )
            except Exception as error:
                say(f"  {contestant.name}: left out at k={k}: {one_line(error)}")
                continue
            chosen += [(contestant, built, params) for params in worth]
        return chosen

    def points(self) -> None:
        """Measure every (k, threads, batch) and append the records."""
        for k in self._job.ks:
            chosen: dict[bool, list[tuple[Contestant, Built, Params]]] = {}
            for batch, threads in self._job.places():
                single = batch == 1
                if single not in chosen:
                    chosen[single] = self._settings_to_time(k, single)
                self._point(chosen[single], k, batch, threads)

    def _point(
        self, chosen: list[tuple[Contestant, Built, Params]], k: int, batch: int, threads: int
    ) -> None:
        entries = [Entry(contestant, params) for contestant, _, params in chosen]
        built = {contestant.name: built for contestant, built, _ in chosen}
        done = measure(entries, k, batch, threads, self._job.settings, lambda w: say(f"  {w}"))
        rows = [
            _describe(entry, built[entry.contestant.name], self._data, batch, threads)
            for entry in done
        ]
        records.append(self._folder, rows)
        best = sorted(rows, key=lambda row: -row.qps)[:4]
        words = ", ".join(f"{row.method} {row.qps:,.0f}" for row in best)
        say(f"  k={k} threads={threads} batch={batch}: {words}")

    def close(self) -> None:
        """End processes and drop indexes."""
        for contestant, _ in self._built:
            contestant.close()


def run(job: Job) -> Path:
    """Run the job.

    Returns
    -------
    Path
        The new folder under the job's results.
    """
    folder = _free_folder(job.results, job.name)
    arguments: dict[str, object] = {
        "data": list(job.data),
        "methods": list(job.methods),
        "k": list(job.ks),
        "batches": list(job.batches),
        "threads": list(job.threads),
        "points": [list(point) for point in job.points],
        "rows": job.rows,
        "queries": job.queries,
        "isolate": sorted(job.isolate),
        "settings": vars(job.settings),
    }
    records.start(folder, header(job.name, arguments))
    for name in job.data:
        data_run = _DataRun(job, name, folder)
        try:
            data_run.build()
            data_run.points()
        finally:
            data_run.close()
            records.write_csv(folder)
    return folder
