"""Machine code of the kernels for GPUs that are not here: tensor cores, no spill, no stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("triton")

ARCHITECTURES = (90, 80, 100, 120)
CORES = {80: {"HMMA", "IMMA"}, 90: {"HGMMA", "IGMMA"}, 100: {"UTC"}, 120: {"HMMA", "IMMA"}}
SHARED = {80: 163, 90: 227, 100: 227, 120: 99}
"""KiB of shared memory that a block may have: CUDA C++ Programming Guide, compute capabilities."""
SMALL = ("adapt rank 64 *", "adapt rank 128 *")
"""Tiles too small for a warp group of sm_90 may use the instructions of a warp."""


def compiled(tmp_path: Path, *architectures: int) -> list[dict[str, Any]]:
    """Compile in a process without the interpreter."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(tmp_path), "TRITON_DEFAULT_FP_FUSION": "1"}
    program = Path(__file__).with_name("gates.py")
    done = subprocess.run(
        [sys.executable, program, *map(str, architectures)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def faults(line: dict[str, Any]) -> list[str]:
    """Return what is wrong with one kernel's machine code."""
    if "error" in line:
        return [line["error"]]
    architecture, found = line["architecture"], []
    if line["instructions"] < 100 or line["registers"] < 1:
        found.append("no machine code was read")
    cores = CORES[architecture] | ({"HMMA"} if line["kernel"] in SMALL else set())
    if line["kernel"].endswith("*") and not cores & set(line["cores"]):
        found.append(f"no tensor-core instruction of {sorted(cores)}")
    if line["spills"] or line["stack"]:
        found.append(f"{line['spills']} spills, {line['stack']} bytes of stack")
    if line["shared"] > SHARED[architecture] * 1024:
        found.append(f"{line['shared']} bytes of shared memory")
    return found


def test_machine_code(tmp_path: Path) -> None:
    lines = compiled(tmp_path, *ARCHITECTURES)
    assert {line["architecture"] for line in lines} == set(ARCHITECTURES)
    assert len(lines) >= 15
    wrong = [f"sm_{line['architecture']} {line['kernel']}: {faults(line)}" for line in lines
             if faults(line)]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_each_gate_can_close() -> None:
    good = {"architecture": 90, "kernel": "scan *", "instructions": 900, "cores": ["HGMMA"],
            "spills": 0, "stack": 0, "registers": 100, "shared": 2**17}  # fmt: skip
    assert not faults(good)
    for change in ({"cores": ["HMMA"]}, {"spills": 1}, {"stack": 8}, {"shared": 2**18},
                   {"instructions": 0}, {"error": "no"}, {"cores": []}):  # fmt: skip
        assert faults(good | change), change
