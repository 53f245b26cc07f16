"""A contestant: one built method and the data it is asked about, here or in another process.

Both kinds answer the same calls, so the runner does not care where a method lives. A process of its
own is needed where an environment variable must be set before the library loads
(``NEARFIELD_ISA``), and protects the run from a library that crashes. It is idle, blocked on its
pipe, while others are timed; timing happens beside the method, so the pipe is not in the figures.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from multiprocessing.connection import Connection
from typing import Any, Protocol

import numpy as np

from bench.pareto.datasets import Dataset, Source, load
from bench.pareto.judge import Array, hits
from bench.pareto.methods import REGISTRY, Params
from bench.pareto.timing import Watch, Window, timed_calls


@dataclass(frozen=True)
class Built:
    """What building told: seconds, growth of resident memory, level and version."""

    build_s: float
    bytes_per_vector: float
    borrows_base: bool
    isa: str
    version: str


@dataclass(frozen=True)
class Ask:
    """One block: ``calls`` searches of ``batch`` queries each, from call number ``start`` on."""

    params: Params
    k: int
    batch: int
    threads: int
    calls: int = 1
    start: int = 0
    judge: bool = False


@dataclass(frozen=True)
class Block:
    """Outcome of a block: the window, and how many of the judged answers were right."""

    window: Window
    queries: int
    judged: int = 0
    right: int = 0


class Contestant(Protocol):
    """What the runner needs of a method, wherever it lives."""

    name: str
    family: str
    chunk: int

    def build(self, threads: int) -> Built:
        """Build the index."""

    def sweep(self, k: int) -> Sequence[Sequence[Params]]:
        """Search settings, in series from fast to accurate."""

    def block(self, ask: Ask) -> Block:
        """Run and time one block."""

    def close(self) -> None:
        """Let go of the index."""


def resident_bytes() -> int:
    """Resident memory of this process after giving free heap pages back; 0 where it is not told."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, AttributeError, ValueError):
        return 0


def distribution_version(package: str) -> str:
    """Installed version, empty when unknown."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _padded(ids: Any, k: int) -> Array:
    """Ids as (q, k): a library that found fewer than k gets -1 for the rest, which are misses."""
    found = np.asarray(ids).astype(np.int64, copy=False)
    return np.pad(found, ((0, 0), (0, k - found.shape[1])), constant_values=-1)


class Local:
    """A method in this process."""

    def __init__(self, name: str, dataset: Dataset) -> None:
        kind = REGISTRY[name.partition("@")[0]]
        self.name, self.family, self.chunk = name, kind.family, kind.chunk
        self._dataset, self._method = dataset, kind()
        # Libraries are loaded before anything is measured: their code is not the index.
        for module in kind.modules:
            importlib.import_module(module)

    def build(self, threads: int) -> Built:
        """Build, and measure by how much resident memory grew."""
        before = resident_bytes()
        with Watch() as watch:
            self._method.build(self._dataset.base, self._dataset.metric, threads)
        # One search first: what a library allocates lazily belongs to the index as well.
        self._method.set_threads(threads)
        setting = self._method.sweep(1)[0][0]
        self._method.configure(setting)
        self._method.search(self._dataset.pool[:1], 1)
        growth = max(0, resident_bytes() - before)
        return Built(
            build_s=watch.window.wall,
            bytes_per_vector=growth / self._dataset.n,
            borrows_base=self._method.borrows_base,
            isa=self._method.isa(),
            version=distribution_version(self._method.package),
        )

    def sweep(self, k: int) -> Sequence[Sequence[Params]]:
        """Settings of the method."""
        return self._method.sweep(k)

    def block(self, ask: Ask) -> Block:
        """Time the calls; judge afterwards, outside the window."""
        pool = self._dataset.pool
        slots = len(pool) // ask.batch
        if not slots:
            raise ValueError(
                f"batch {ask.batch}: got a pool of {len(pool)} queries, expected as many"
            )
        offsets = [(ask.start + call) % slots * ask.batch for call in range(ask.calls)]
        batches = [pool[first : first + ask.batch] for first in offsets]
        self._method.set_threads(ask.threads)
        self._method.configure(ask.params)
        search, k = self._method.search, ask.k
        answers, window = timed_calls(lambda queries: search(queries, k), batches)
        judged = right = 0
        if ask.judge:
            judged, right = self._judge(answers, offsets, k)
        return Block(window, ask.calls * ask.batch, judged, right)

    def _judge(self, answers: list[Any], offsets: list[int], k: int) -> tuple[int, int]:
        data = self._dataset
        # Perturbed queries have no ground truth; a pool gone round twice is judged once.
        parts = {
            first: _padded(ids, k)[: max(0, data.judged - first)]
            for first, ids in zip(offsets, answers, strict=True)
            if first < data.judged
        }
        if not parts:
            return 0, 0
        rows = np.concatenate([np.arange(f, f + len(ids)) for f, ids in parts.items()])
        ids = np.concatenate(list(parts.values()))
        kth = data.kth(k)[rows]
        right = hits(ids, data.base, data.pool[rows], kth, data.metric, data.largest_norm)
        return len(rows) * k, right

    def close(self) -> None:
        """Drop the index."""
        del self._method
        gc.collect()


def _serve(pipe: Connection, name: str, source: Source) -> None:
    """Body of a contestant's process: answer calls until told to stop."""
    local: Local | None = None
    while True:
        try:
            word, arguments = pipe.recv()
        except EOFError:
            return
        if word == "close":
            return
        try:
            if local is None:
                local = Local(name, load(source))
            pipe.send((True, getattr(local, word)(*arguments)))
        except Exception as error:
            pipe.send((False, f"{type(error).__name__}: {error}"))


class Remote:
    """A method in a process of its own, with its own environment."""

    def __init__(self, name: str, source: Source) -> None:
        base, _, level = name.partition("@")
        kind = REGISTRY[base]
        self.name, self.family, self.chunk = name, kind.family, kind.chunk
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, name, source), daemon=True)
        before = os.environ.get("NEARFIELD_ISA")
        if level:
            os.environ["NEARFIELD_ISA"] = level
        try:
            self._process.start()
        finally:
            os.environ.pop("NEARFIELD_ISA", None)
            if before is not None:
                os.environ["NEARFIELD_ISA"] = before
        theirs.close()

    def _call(self, word: str, *arguments: object) -> Any:
        try:
            self._pipe.send((word, arguments))
            fine, value = self._pipe.recv()
        except (EOFError, OSError) as error:
            self._process.join(5)
            code = self._process.exitcode
            raise RuntimeError(f"its process ended with exit code {code}") from error
        if not fine:
            raise RuntimeError(value)
        return value

    def build(self, threads: int) -> Built:
        """Build there."""
        built: Built = self._call("build", threads)
        return built

    def sweep(self, k: int) -> Sequence[Sequence[Params]]:
        """Ask there."""
        series: Sequence[Sequence[Params]] = self._call("sweep", k)
        return series

    def block(self, ask: Ask) -> Block:
        """Run and time there."""
        block: Block = self._call("block", ask)
        return block

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            self._pipe.send(("close", ()))
        self._process.join(10)
        if self._process.is_alive():
            self._process.terminate()


def enter(name: str, dataset: Dataset, source: Source, isolate: bool) -> Contestant:
    """Make a contestant: in this process, or in its own when isolated or bound to a level."""
    return Remote(name, source) if isolate or "@" in name else Local(name, dataset)
