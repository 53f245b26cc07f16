"""bench/gpu_check.py as far as it goes without a GPU: a dry run, faults to be seen, refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cuda.nvrtc import toolkit

from bench import gpu_check
from bench.gpu import building, predictions, timing
from bench.gpu.check import Check
from bench.gpu.defined import DefinedScores, verdict
from bench.gpu.records import Box, Records, run_phase

ROOT = Path(__file__).resolve().parents[3]


def run(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.gpu_check", *options]
    environment = {**os.environ, "NEARFIELD_CACHE": "/dev/null/none", **variables}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def rows(standin_path: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return what a dry run leaves on the disk."""
    folder = tmp_path_factory.mktemp("check")
    done = run("--dry-run", str(standin_path), "--out", str(folder))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "| case |" in (folder / "table.md").read_text()
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def of(rows: list[dict[str, Any]], phase: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["phase"] == phase]


def test_a_dry_run_goes_through_every_phase(rows: list[dict[str, Any]]) -> None:
    assert list(dict.fromkeys(row["phase"] for row in rows)) == list(gpu_check.PHASES)
    assert {row["case"] for row in of(rows, "build")} >= {"exact.cu", "select_k.cu"}
    verdicts = [row.get("verdict") for row in of(rows, "correctness")]
    assert verdicts == ["right"] * 42
    assert not [row for row in rows if "FAILED" in str(row) or row["case"] == "cut"]


def test_every_case_has_its_row_and_what_is_not_there_says_so(rows: list[dict[str, Any]]) -> None:
    both = of(rows, "timing") + of(rows, "more timing")
    timed = {(row["case"], row["kernel"]): row for row in both if "kernel" in row}
    for case, kernel in predictions.PREDICTED_MS:
        assert timed[case, kernel]["predicted_ms"] == predictions.PREDICTED_MS[case, kernel]
    ran = {key for key, row in timed.items() if row["note"].startswith("ran")}
    ways = {"cuda groups", "cuda thresholds", "cuda bytes"}
    assert {kernel for _, kernel in ran} <= {"cuda", "cpu"} | ways
    assert {timed[key]["recall"] for key in ran if key[1] == "cuda groups"} == {1.0}
    assert {key for key in timed if key[1] in ("cpu", "cuda groups")} <= ran
    of_ours = [row for key, row in timed.items() if key in ran and key[1][:4] == "cuda"]
    counted = [row for row in of_ours if "recall" in row]
    assert counted
    assert all(row["fallback queries"] >= 0 for row in counted)
    rest = {row["note"][:9] for key, row in timed.items() if key not in ran}
    assert rest <= {"not there"}
    flat = [
        row for (case, kernel), row in timed.items() if case[:5] == "flat," and kernel[:4] == "cuda"
    ]
    assert [row["recall"] for row in flat] == [1.0] * 3


def test_a_refusal_without_a_device(tmp_path: Path) -> None:
    done = run("--out", str(tmp_path), NEARFIELD_LIBCUDA="/nowhere.so")
    assert done.returncode == 2
    assert "nothing to check here: no CUDA driver" in done.stderr


def test_a_failing_device_fails_the_check(standin_path: Path, tmp_path: Path) -> None:
    done = run(
        *("--dry-run", str(standin_path), "--out", str(tmp_path), "--only", "correctness"),
        STANDIN_FAILS="cuLaunchKernel=719@9",
    )
    assert done.returncode == 1
    assert "FAILED" in (tmp_path / "table.md").read_text()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda ids, scores, counts: ids.__setitem__((0, 0), 3), "score is"),
        (lambda ids, scores, counts: ids.__setitem__((1, 1), ids[1, 0]), "twice"),
        (lambda ids, scores, counts: ids.__setitem__((1, 1), 99), "out of range"),
        (lambda ids, scores, counts: counts.__setitem__(0, 1), "counts"),
        (lambda ids, scores, counts: scores.__setitem__((0, 1), 0.5), "scores off"),
        (lambda ids, scores, counts: None, ""),
    ],
)
def test_the_verdict_sees_faults(fault: Any, message: str) -> None:
    exact = DefinedScores.given(np.float64([[5, 4, 3, 0], [0, 1, 2, 3]]))
    ids = np.int64([[0, 1], [3, 2]])
    scores = np.float32([[5, 4], [3, 2]])
    counts = np.int64([2, 2])
    fault(ids, scores, counts)
    found = verdict((ids, scores, counts), exact, "ip", 2)
    assert (message in found) if message else found == ""


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


class Clock:
    """A device whose runs take the milliseconds they return."""

    dry = False

    def milliseconds(self, run: Any) -> float:
        return float(run(0))

    waited_milliseconds = milliseconds


def test_a_run_goes_on_where_one_was_cut(tmp_path: Path) -> None:
    records = Records(tmp_path, limit_s=1000)
    records.add("correctness", "a", verdict="right")
    records.add("correctness", "b", verdict="two runs differ")
    records.add("timing", "c", kernel="cuda", ms=2.0)
    records.add("timing", "c", kernel="torch", ms=None, note="cut: no time left")
    records.add("device", "copy", ms=1.0)
    records.close()
    with (tmp_path / "results.jsonl").open("a") as lines:
        lines.write('{"phase": "timing", "ca')  # killed here
    records = Records(tmp_path, limit_s=1000, resume=True)
    assert [row["case"] for row in records.rows] == ["a", "c"]
    check = Check(Clock(), {}, records)
    case = timing.Case("c", {"cuda": lambda: lambda i: 9.0}, {"torch": lambda: lambda i: 6.0})
    timing.time_case(check, Box(records, 100), case)
    records.close()
    left = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [(row["case"], row.get("kernel"), row.get("ms")) for row in left] == [
        ("a", None, None),
        ("c", "cuda", 2.0),
        ("c", "torch", 6.0),
    ]
    assert not records.has("timing", "c", "torch")


def test_registers_of_every_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = toolkit("lib/libnvrtc.so.*")
    if compiler is None:
        pytest.skip("no NVRTC: pip install nvidia-cuda-nvrtc")
    records = Records(tmp_path, limit_s=1000)
    report = {"devices": [{"capability": "9.0"}]}
    check = Check(SimpleNamespace(device=0), report, records)
    monkeypatch.setattr(building, "sources", lambda folder: [folder / "merge_ranked.cu"])
    arch = building.architecture(check)
    assert arch == "sm_90a"
    building.kernels(check, Box(records, 100), compiler, arch)
    rows = {row["case"]: row for row in records.rows}
    assert rows["merge_ranked.cu: merge_ranked"]["registers"] > 8
    assert {row["verdict"] for row in records.rows} == {"right"}
    assert {row["spills"] for row in records.rows} == {0}


def test_rows_of_a_case(tmp_path: Path) -> None:
    """Rates, shares of ceilings, misses, and what is missing or fails."""

    def missing() -> Any:
        raise ImportError("no module named flash")

    def failing() -> Any:
        raise RuntimeError("out of memory")

    case = timing.Case(
        "adapters, 1M x 1024 bf16 r=16, 1 of them",
        {"cuda": lambda: lambda i: 2.0, "triton": failing},
        {"torch": lambda: lambda i: 6.5, "flash": missing},
        operations=1e12,
        nbytes=4e9,
    )
    records = Records(tmp_path, limit_s=1000)
    check = Check(Clock(), {}, records, {"GB/s": 4000.0})
    timing.time_case(check, Box(records, 100), case)
    torch, flash, cuda, triton = records.rows
    assert (torch["ms"], torch["miss"]) == (6.5, None)
    assert flash["note"] == "not there: ImportError: no module named flash"
    assert cuda["TFLOP_s"] == pytest.approx(500.0)
    assert (cuda["of copies"], cuda["of products"]) == ("50 %", None)
    assert cuda["against torch"] == 3.25
    assert predictions.misses(records.rows) == [
        "adapters, 1M x 1024 bf16 r=16, 1 of them, cuda: 2 ms, 1.67 of what was predicted"
    ]
    assert check.wrong == [
        "adapters, 1M x 1024 bf16 r=16, 1 of them, triton: RuntimeError: out of memory"
    ]
    assert triton["note"].startswith("FAILED")
    timing.time_case(check, Box(records, 4), case)
    assert {row["note"] for row in records.rows[4:]} == {"cut: no time left"}
    records.close()
