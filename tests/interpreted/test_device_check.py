"""The check for a GPU: here in the interpreter, and on a GPU where there is one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

import nearfield.triton as nt
from nearfield.triton import search

from bench.gpu import triton_check

ROOT = Path(__file__).resolve().parents[2]


def test_small_in_the_interpreter(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert triton_check.main(["--device", "cpu", "--small"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 21
    assert all(line.startswith("right") for line in lines)


def test_it_sees_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, rows = torch.randn(3, 8), torch.randn(80, 8)
    rows[40:] = rows[:40]
    right = search.topk
    assert triton_check._topk(queries, rows, 4, "ip", "rows") == ""

    def swapped(*given: object) -> object:
        found = right(*given)
        return found._replace(ids=found.ids[:, [1, 0, 3, 2]])

    monkeypatch.setattr(nt, "topk", swapped)
    assert "smaller id" in triton_check._topk(queries, rows, 4, "ip", "rows")
    monkeypatch.setattr(nt, "topk", lambda *given: right(*given)._replace(
        ids=torch.zeros(3, 4, dtype=torch.int64)))  # fmt: skip
    assert "missing" in triton_check._topk(queries, rows, 4, "ip", "rows")


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("cuda: no device here; run `python -m bench.gpu.triton_check` where there is")
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-m", "bench.gpu.triton_check"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
