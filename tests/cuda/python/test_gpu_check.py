"""bench/gpu_check.py as far as it goes without a GPU: a dry run, faults to be seen, refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import gpu_check
from bench.gpu_records import Box, Records, run_phase

ROOT = Path(__file__).resolve().parents[3]


def run(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.gpu_check", *options]
    environment = {**os.environ, "NEARFIELD_CACHE": "/dev/null/none", **variables}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_a_dry_run(standin_path: Path, tmp_path: Path) -> None:
    done = run("--dry-run", str(standin_path), "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    right = [row for row in rows if row.get("verdict") == "right"]
    assert len(right) == 30
    assert {row["case"] for row in rows if row["phase"] == "build"} >= {"exact.cu", "select_k.cu"}
    assert "| case |" in (tmp_path / "table.md").read_text()


def test_a_refusal_without_a_device(tmp_path: Path) -> None:
    done = run("--out", str(tmp_path), NEARFIELD_LIBCUDA="/nowhere.so")
    assert done.returncode == 2
    assert "nothing to check here: no CUDA driver" in done.stderr


def test_a_failing_device_fails_the_check(standin_path: Path, tmp_path: Path) -> None:
    done = run(
        "--dry-run", str(standin_path), "--out", str(tmp_path), STANDIN_FAILS="cuLaunchKernel=719@9"
    )
    assert done.returncode == 1
    assert "FAILED" in (tmp_path / "table.md").read_text()


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        (lambda ids, scores, counts: ids.__setitem__((0, 0), 3), "score is"),
        (lambda ids, scores, counts: ids.__setitem__((1, 1), ids[1, 0]), "twice"),
        (lambda ids, scores, counts: ids.__setitem__((1, 1), 99), "out of range"),
        (lambda ids, scores, counts: counts.__setitem__(0, 1), "counts"),
        (lambda ids, scores, counts: scores.__setitem__((0, 1), 0.5), "scores off"),
        (lambda ids, scores, counts: None, ""),
    ],
)
def test_the_verdict_sees_faults(fault: object, verdict: str) -> None:
    exact = np.float64([[5, 4, 3, 0], [0, 1, 2, 3]])
    ids = np.int64([[0, 1], [3, 2]])
    scores = np.float32([[5, 4], [3, 2]])
    counts = np.int64([2, 2])
    fault(ids, scores, counts)
    found = gpu_check._verdict((ids, scores, counts), exact, "ip", 2)
    assert (verdict in found) if verdict else found == ""


def test_rows_are_on_disk_at_once_and_phases_end_in_time(tmp_path: Path) -> None:
    records = Records(tmp_path, limit_s=1000)

    def phase(records: Records, box: Box) -> None:
        records.add("one", "case", ms=1.5)
        assert json.loads((tmp_path / "results.jsonl").read_text())["ms"] == 1.5
        assert box.left(1)
        assert not box.left(20)
        raise RuntimeError("the device fell over")

    assert not run_phase(records, "one", 10, phase)
    assert "the device fell over" in (tmp_path / "table.md").read_text()
    records.limit_s = 0
    assert not run_phase(records, "two", 10, phase)
    assert "no time left" in records.table()
    records.close()
