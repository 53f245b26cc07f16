"""What only a GPU can show, in one command of under ten minutes.

    python -m bench.gpu_check --out bench/results/gpu-<date>     on a machine with an NVIDIA GPU
    python -m bench.gpu_check --dry-run build/cpp/tests/cuda/driver/libnearfield_standin.so

Phases with time boxes, in this order: the device's own ceilings (copy, matrix products), building
every kernel, results against float64 (sizes, metrics and types, each twice for equal bits), the
sanitizer where it is installed, times beside torch's matmul + topk. Rows reach the disk one by one.
A wrong result gives exit code 1. The dry run goes through the same code with the stand-in driver of
tests/cuda, small sizes and no torch: its times mean nothing and are not shown.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from bench.gpu_records import Box, Records, run_phase

LIMIT_S = 570.0
METRICS = ("ip", "l2", "cosine")
PREDICTED_MS = {"batch 1": 3.9, "batch 32": 3.9}  # of 10M x 768 bf16: bytes over the copy rate
WRONG: list[str] = []


def main(arguments: list[str] | None = None) -> int:
    """Run all phases."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path, default=Path("build/gpu-check"))
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--dry-run", type=Path, metavar="LIBRARY", help="the stand-in driver")
    given = parser.parse_args(arguments)
    if given.dry_run is not None:
        os.environ["NEARFIELD_LIBCUDA"] = os.environ["NEARFIELD_NVRTC"] = str(given.dry_run)
    import nearfield as nf

    report = nf.runtime.cuda_report()
    error = report["driver_error"] or report["compiler_error"]
    if error:
        print(f"gpu_check: nothing to check here: {error}", file=sys.stderr)
        return 2
    try:
        there: Any = DryArrays(given.dry_run) if given.dry_run else TorchArrays(given.device)
    except (ImportError, RuntimeError) as reason:
        print(f"gpu_check: {reason}", file=sys.stderr)
        return 2
    records = Records(given.out, LIMIT_S)
    phases = (
        ("device", 40, lambda r, b: check_device(r, b, there, report)),
        ("build", 60, lambda r, b: build(r, b, there)),
        ("correctness", 150, lambda r, b: check_results(r, b, there)),
        ("sanitizer", 60, lambda r, b: sanitize(r, b, there)),
        ("timing", 240, lambda r, b: time_searches(r, b, there)),
    )
    passed = [run_phase(records, name, seconds, phase) for name, seconds, phase in phases]
    records.close()
    print("\n" + records.table())
    for wrong in WRONG:
        print(f"WRONG: {wrong}", file=sys.stderr)
    return 0 if all(passed) and not WRONG else 1


class TorchArrays:
    """Arrays on a real device, by torch."""

    dry = False

    def __init__(self, device: int) -> None:
        try:
            import torch
        except ImportError:
            raise ImportError("torch makes the arrays: pip install torch") from None
        if not torch.cuda.is_available():
            raise RuntimeError(f"torch {torch.__version__} sees no CUDA device")
        self.torch, self.device = torch, device
        torch.cuda.set_device(device)

    def put(self, array: np.ndarray, bfloat16: bool = False) -> Any:
        """Return the array on the device; bfloat16 from its bits."""
        there = self.torch.from_numpy(array).to(f"cuda:{self.device}")
        return there.view(self.torch.bfloat16) if bfloat16 else there

    def get(self, array: Any) -> np.ndarray:
        """Return what an array holds."""
        return array.cpu().numpy()

    def milliseconds(self, run: Any, repeats: int = 10) -> float:
        """Return the median of a few runs, by events, after three more."""
        for _ in range(3):
            run()
        times = []
        for _ in range(repeats):
            start, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            run()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end))
        return float(np.median(times))


class DryArrays:
    """Arrays on the stand-in device."""

    dry = True

    def __init__(self, library: Path) -> None:
        sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
        from cuda.standin import DlpackArray, Standin, contents

        self.device = 0
        self._standin, self._array, self._contents = Standin(library), DlpackArray, contents

    def put(self, array: np.ndarray, bfloat16: bool = False) -> Any:
        """As TorchArrays."""
        return self._array(self._standin, array, bfloat16=bfloat16)

    def get(self, array: Any) -> np.ndarray:
        """As TorchArrays."""
        return self._contents(array, self._standin)


def check_device(records: Records, box: Box, there: Any, report: dict[str, Any]) -> None:
    """What the device is and what it can do at most."""
    for device in report["devices"]:
        records.add("device", device["device"], **{k: device[k] for k in ("name", "capability")})
    records.add(
        "device", "software", driver=report["driver_version"], nvrtc=report["compiler_version"]
    )
    if there.dry:
        return
    torch = there.torch
    one = torch.empty(1 << 30, dtype=torch.uint8, device="cuda").random_(0, 255)
    two = torch.empty_like(one)
    ms = there.milliseconds(lambda: two.copy_(one))
    records.add("device", "copy of 1 GiB", ms=ms, GB_s=2 * one.numel() / ms / 1e6)
    for shape in ((8192, 8192, 8192), (8192, 131072, 768)):
        if not box.left(2):
            return
        m, n, k = shape
        a = torch.randn(m, k, device="cuda", dtype=torch.bfloat16)
        b = torch.randn(k, n, device="cuda", dtype=torch.bfloat16)
        ms = there.milliseconds(lambda a=a, b=b: a @ b)
        records.add("device", f"bf16 product {m} x {n} x {k}", ms=ms, TFLOP_s=2e-9 * m * n * k / ms)


def build(records: Records, box: Box, there: Any) -> None:
    """Every kernel source, compiled by NVRTC or taken from the cache, and loaded."""
    from nearfield.cuda.library import library

    for source in library().sources():
        seconds, from_cache = library().build(there.device, source)
        records.add("build", source, seconds=seconds, from_cache=from_cache)
        if not box.left():
            return


def _numbers(rng: np.random.Generator, shape: tuple[int, int], dtype: str) -> np.ndarray:
    if dtype in ("int8", "uint8"):
        info = np.iinfo(dtype)
        return rng.integers(info.min, info.max + 1, shape).astype(dtype)
    plain = rng.standard_normal(shape, dtype=np.float32)
    return (
        (plain.view(np.uint32) >> 16).astype(np.uint16)
        if dtype == "bfloat16"
        else plain.astype(dtype)
    )


def _wide(array: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "bfloat16":
        return (array.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return array.astype(np.float64)


def _defined(q: np.ndarray, x: np.ndarray, metric: str) -> np.ndarray:
    """Scores by definition, in float64, larger is better."""
    products = q @ x.T
    if metric == "ip":
        return products
    if metric == "l2":
        return 2 * products - (q * q).sum(1)[:, None] - (x * x).sum(1)
    lengths = np.linalg.norm(q, axis=1)[:, None] * np.linalg.norm(x, axis=1)
    return np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)


def _verdict(found: Any, exact: np.ndarray, metric: str, k: int) -> str:
    """Compare ids outside the band of float32 rounding, and scores."""
    ids, scores, counts = found
    n = exact.shape[1]
    kept = min(k, n)
    if not (counts == kept).all() or (ids[:, :kept] < 0).any() or (ids[:, :kept] >= n).any():
        return "wrong counts or ids out of range"
    if any(len(set(row)) != kept for row in ids[:, :kept]):
        return "an id twice"
    best = -np.sort(-exact, axis=1)[:, :kept]
    given = np.take_along_axis(exact, ids[:, :kept], 1)
    band = 2e-6 * np.maximum(np.abs(best), 1.0)
    if (np.abs(given - best) > band).any():
        return f"an id whose score is {np.abs(given - best).max():.3g} from the right one"
    shown = -scores[:, :kept] if metric == "l2" else scores[:, :kept]
    return "" if (np.abs(shown - given) <= band).all() else "scores off"


def check_results(records: Records, box: Box, there: Any) -> None:
    """A grid of sizes, metrics and types against float64, twice for equal bits."""
    import nearfield as nf

    sizes = (
        [(1, 50, 16, 5), (9, 130, 33, 10)]
        if there.dry
        else [(1, 997, 64, 1), (31, 997, 96, 10), (128, 65_537, 384, 100), (31, 65_537, 768, 1000)]
    )
    rng = np.random.default_rng(3)
    kinds = ("float32", "bfloat16", "float16", "int8", "uint8")
    for (m, n, dim, k), dtype, metric in itertools.product(sizes, kinds, METRICS):
        if not box.left(3):
            records.add("correctness", "cut", reason="no time left")
            return
        rows, queries = _numbers(rng, (n, dim), dtype), _numbers(rng, (m, dim), dtype)
        rows[n // 2 :: 7] = rows[: len(rows[n // 2 :: 7])]  # ties
        rows[3] = 0
        arrays = [there.put(array, dtype == "bfloat16") for array in (queries, rows)]
        twice = []
        for _ in range(2):
            found = nf.topk(*arrays, k=k, metric=metric)
            twice.append([there.get(part) for part in found])
        exact = _defined(_wide(queries, dtype), _wide(rows, dtype), metric)
        wrong = _verdict(twice[0], exact, metric, k)
        if not all(np.array_equal(*pair, equal_nan=True) for pair in zip(*twice, strict=True)):
            wrong = wrong or "two runs differ"
        case = f"{m} x {n} x {dim} {dtype} {metric} k={k}"
        if wrong:
            WRONG.append(f"{case}: {wrong}")
        records.add("correctness", case, verdict=wrong or "right")


def sanitize(records: Records, box: Box, there: Any) -> None:
    """compute-sanitizer over one small search, where it is installed."""
    tool = shutil.which("compute-sanitizer")
    if there.dry or tool is None:
        records.add("sanitizer", "left out", reason="dry run" if there.dry else "not installed")
        return
    script = (
        "import torch, nearfield as nf; x = torch.randn(3000, 64, device='cuda'); "
        "[nf.topk(x[:9], x, k=12, metric=m) for m in ('ip', 'l2', 'cosine')]; "
        "torch.cuda.synchronize()"
    )
    for check in ("memcheck", "racecheck"):
        if not box.left(20):
            return
        done = subprocess.run(
            [tool, "--tool", check, "--error-exitcode", "9", sys.executable, "-c", script],
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode == 9:
            WRONG.append(f"{check}: {done.stdout[-400:]}")
        records.add("sanitizer", check, code=done.returncode, tail=done.stdout[-120:].strip())


def time_searches(records: Records, box: Box, there: Any) -> None:
    """Searches beside torch's float32 products and topk."""
    import nearfield as nf

    if there.dry:
        records.add("timing", "left out", reason="times of a dry run mean nothing")
        return
    torch = there.torch
    for n, m in ((1_000_000, 1), (1_000_000, 32), (1_000_000, 1000), (10_000_000, 1)):
        if not box.left(30):
            records.add("timing", "cut", reason="no time left")
            return
        rows = torch.randn(n, 768, device="cuda", dtype=torch.bfloat16)
        queries = torch.randn(m, 768, device="cuda", dtype=torch.bfloat16)

        def ours(q: Any = queries, x: Any = rows) -> None:
            nf.topk(q, x, k=100, metric="ip")

        def torchs(q: Any = queries, x: Any = rows) -> None:
            torch.topk(torch.mm(q, x.T, out_dtype=torch.float32), 100)

        mine, theirs = there.milliseconds(ours, 5), there.milliseconds(torchs, 5)
        records.add(
            "timing",
            f"top-100 ip, {m} x {n} x 768 bf16",
            ms=mine,
            torch_ms=theirs,
            speed_up=theirs / mine,
            GB_s=2 * n * 768 / mine / 1e6,
            TFLOP_s=2e-9 * m * n * 768 / mine,
            predicted_ms=PREDICTED_MS.get(f"batch {m}") if n == 10_000_000 else None,
        )


if __name__ == "__main__":
    sys.exit(main())
