"""Arrays of a device for the check: by torch on a GPU, on the stand-in driver in a dry run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.gpu.defined import DefinedScores, bits_of

FIRST_RUNS = 3
SLOW_MS = 200.0  # fewer repeats from here on


class TorchArrays:
    """Arrays on a real device; `place` is another one of torch's, for tests."""

    dry = small = False

    def __init__(self, device: int, place: str | None = None) -> None:
        try:
            import torch
        except ImportError:
            raise ImportError("torch makes the arrays: pip install torch") from None
        self.torch, self.device, self.place = torch, device, place or f"cuda:{device}"
        self.counts = place is None  # whether searches are on a device that counts fallbacks
        if place is not None:
            return
        if not torch.cuda.is_available():
            raise RuntimeError(f"torch {torch.__version__} sees no CUDA device")
        torch.cuda.set_device(device)

    def put(self, array: np.ndarray, bfloat16: bool = False) -> Any:
        """Return the array on the device; bfloat16 from its bits."""
        there = self.torch.from_numpy(array).to(self.place)
        return there.view(self.torch.bfloat16) if bfloat16 else there

    def get(self, array: Any) -> np.ndarray:
        """Return what an array holds."""
        return array.cpu().numpy()

    def random(self, rows: int, dim: int, dtype: str, seed: int = 0) -> Any:
        """Return random rows, made on the device: of zeros a GPU computes faster."""
        chance = self.torch.Generator(self.place).manual_seed(seed)
        kind = getattr(self.torch, dtype)
        if dtype in ("int8", "uint8"):
            low, high = (-128, 128) if dtype == "int8" else (0, 256)
            return self.torch.randint(
                low, high, (rows, dim), dtype=kind, device=self.place, generator=chance
            )
        out = self.torch.empty(rows, dim, dtype=kind, device=self.place)
        for first in range(0, rows, 1_000_000):  # in parts: normal_ of half floats is made in place
            out[first : first + 1_000_000].normal_(generator=chance)
        return out

    def defined(self, queries: Any, rows: Any, metric: str) -> DefinedScores:
        """Return scores by definition, computed on the device in float64."""
        torch = self.torch
        q, x = queries.double(), rows.double()
        scores = q @ x.T
        if metric == "l2":
            scores.mul_(2).sub_(q.square().sum(1)[:, None]).sub_(x.square().sum(1))
        elif metric == "cosine":
            lengths = q.norm(dim=1)[:, None] * x.norm(dim=1)
            scores = torch.where(lengths > 0, scores / lengths, 0.0)
        scores.nan_to_num_(nan=-torch.inf, posinf=-torch.inf)
        return DefinedScores(
            len(x),
            lambda k: self.get(scores.topk(k, dim=1).values),
            lambda ids: self.get(scores.gather(1, self.put(ids))),
        )

    def other_stream(self) -> Any:
        """Return a new stream."""
        return self.torch.cuda.Stream()

    def free(self) -> None:
        """Give unused memory back."""
        self.torch.cuda.empty_cache()

    def milliseconds(self, run: Callable[[int], Any]) -> float:
        """Return the median of 5 to 20 runs by events, after a few more; they are numbered."""
        first = self._timed(run, 0)
        slow = first > SLOW_MS
        for i in range(1, 1 if slow else FIRST_RUNS):
            run(i)
        repeats = 5 if slow else (10 if first > 1 else 20)
        return float(np.median([self._timed(run, i) for i in range(repeats)]))

    def _timed(self, run: Callable[[int], Any], turn: int) -> float:
        start, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run(turn)
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end))

    def waited_milliseconds(self, run: Callable[[int], Any]) -> float:
        """As `milliseconds`, by the clock, for what does not run on torch's stream and waits."""
        first = self._waited(run, 0)
        if first > SLOW_MS:
            return min(first, self._waited(run, 1))
        return float(np.median([self._waited(run, i) for i in range(1, 6)]))

    @staticmethod
    def _waited(run: Callable[[int], Any], turn: int) -> float:
        start = time.perf_counter()
        run(turn)
        return 1e3 * (time.perf_counter() - start)


class DryArrays:
    """Arrays on the stand-in device. Runs happen once; they have no times."""

    dry = small = counts = True

    def __init__(self, library: Path) -> None:
        sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
        from cuda.standin import DlpackArray, Standin, contents

        self.device = 0
        self._standin, self._array, self._contents = Standin(library), DlpackArray, contents

    def put(self, array: np.ndarray, bfloat16: bool = False) -> Any:
        """As TorchArrays."""
        return self._array(self._standin, array, bfloat16=bfloat16)

    def get(self, array: Any) -> np.ndarray:
        """As TorchArrays."""
        return self._contents(array, self._standin)

    def random(self, rows: int, dim: int, dtype: str, seed: int = 0) -> Any:
        """As TorchArrays."""
        return self.put(
            bits_of(np.random.default_rng(seed), (rows, dim), dtype), dtype == "bfloat16"
        )

    def defined(self, queries: Any, rows: Any, metric: str) -> DefinedScores:
        """As TorchArrays, by NumPy, of the host arrays they were made from."""
        return DefinedScores.computed(*(self._wide(array) for array in (queries, rows)), metric)

    def _wide(self, array: Any) -> np.ndarray:
        if not array.bfloat16:
            return array.array.astype(np.float64)
        return (array.array.astype(np.uint32) << 16).view(np.float32).astype(np.float64)

    def other_stream(self) -> Any:
        """As TorchArrays."""
        return self._standin.stream()

    def free(self) -> None:
        """As TorchArrays."""

    def milliseconds(self, run: Callable[[int], Any]) -> None:
        """Run twice: another set of queries, too."""
        run(0)
        run(1)

    waited_milliseconds = milliseconds
