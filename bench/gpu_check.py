"""What only a GPU can show, in one command of under ten minutes.

    python -m bench.gpu_check --out bench/results/gpu-<date>     on a machine with an NVIDIA GPU
    python -m bench.gpu_check --dry-run build/cpp/tests/cuda/driver/libnearfield_standin.so

Phases with time boxes, the most telling first: the device's own ceilings (copies, products),
building every kernel, results against float64 (sizes, metrics, types, hard data, each twice for
equal bits; then bench.gpu.triton_check), times of what was promised beside torch, CuPy and JAX, the
sanitizer where it is installed, the other times, and variants of the kernels. Rows reach the disk
one by one; what is not there, or had no time, is a row too. A wrong result gives exit code 1. At
the end stands what missed its prediction by a fifth. `--seconds 400` makes all boxes smaller,
`--only timing` runs some phases, `--resume` goes on with what an earlier run in the same folder has
not measured. The dry run goes through the same code with the stand-in driver of tests/cuda, small
sizes and no torch: it has no times.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from bench.gpu import building, correctness, device, sanitizer, timing, variants
from bench.gpu.arrays import DryArrays, TorchArrays
from bench.gpu.check import Check
from bench.gpu.predictions import misses
from bench.gpu.records import Records, run_phase

LIMIT_S = 570.0
PHASES: dict[str, tuple[float, Any]] = {
    "device": (30, device.run),
    "build": (45, building.run),
    "correctness": (105, correctness.run),
    "timing": (220, timing.first),
    "sanitizer": (40, sanitizer.run),
    "more timing": (90, timing.rest),
    "variants": (40, variants.run),
}
"""Seconds of each, and what it does with a Check and its Box."""


def main(arguments: list[str] | None = None) -> int:
    """Run all phases."""
    given = _parser().parse_args(arguments)
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
    records = Records(given.out, given.seconds, resume=given.resume)
    return _checked(Check(there, report, records), given.only or list(PHASES))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path, default=Path("build/gpu-check"))
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--dry-run", type=Path, metavar="LIBRARY", help="the stand-in driver")
    parser.add_argument("--seconds", type=float, default=LIMIT_S, help="for everything")
    parser.add_argument("--resume", action="store_true", help="leave out what --out has already")
    parser.add_argument("--only", nargs="+", choices=list(PHASES), help="some phases")
    return parser


def _checked(check: Check, names: list[str]) -> int:
    """Run phases, show the table and what is to be explained; the exit code."""
    records = check.records
    scale = records.limit_s / LIMIT_S
    passed = [
        run_phase(records, name, scale * seconds, lambda _, box, phase=phase: phase(check, box))
        for name, (seconds, phase) in PHASES.items()
        if name in names
    ]
    for line in misses(records.rows):
        check.add("misses", line)
    records.close()
    print("\n" + records.table())
    for wrong in check.wrong:
        print(f"WRONG: {wrong}", file=sys.stderr)
    return 0 if all(passed) and not check.wrong else 1


if __name__ == "__main__":
    sys.exit(main())
