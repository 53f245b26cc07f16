"""What bench.gpu_check times, on small tensors of the CPU: torch's ways, and ours in Triton."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

from bench.gpu import adapting, correctness, searches, timing, training, variants
from bench.gpu.arrays import TorchArrays
from bench.gpu.check import Check
from bench.gpu.defined import verdict
from bench.gpu.records import Box, Records


class Here(TorchArrays):
    """Tensors of the CPU; a run happens once and takes a millisecond."""

    small = True

    def __init__(self) -> None:
        super().__init__(0, "cpu")

    def milliseconds(self, run: Any) -> float:
        run(0)
        return 1.0

    waited_milliseconds = milliseconds


@pytest.fixture
def check(tmp_path: Path) -> Check:
    return Check(Here(), {}, Records(tmp_path, 1000))


def box_of(check: Check) -> Box:
    return Box(check.records, 100)


def run_of(case: timing.Case, name: str) -> Any:
    return {**case.ours, **case.others}[name]()(0)


def test_searches_find_the_same(check: Check) -> None:
    cases = [*searches.promised(check, box_of(check)), *searches.others(check, box_of(check))]
    for case in cases[1], cases[-1]:
        wanted = case.wanted()
        found = run_of(case, "triton").ids.numpy()
        assert timing.overlap(found, wanted) == 1.0
        for name in ("torch mm + topk", "torch group maxima"):
            assert timing.overlap(run_of(case, name)[0].numpy(), wanted) == 1.0
        np.testing.assert_array_equal(run_of(case, "triton int8").ids.numpy(), found)


def test_adapters_by_torch_and_by_triton(check: Check) -> None:
    for case in adapting.adapters(check, box_of(check)):
        if "torch" in case.others:
            one, other = (run_of(case, name).float() for name in ("torch", "triton"))
            torch.testing.assert_close(one, other, atol=0.02, rtol=0.02)


def test_a_step_of_kmeans_and_codes(check: Check) -> None:
    (step,) = training.clustering(check, box_of(check))
    (encode,) = training.encoding(check, box_of(check))
    means, _ = run_of(step, "triton")
    torch.testing.assert_close(run_of(step, "torch"), means, atol=0.05, rtol=0.05)
    assert run_of(encode, "triton").shape == (200, 2)


def test_rows_of_what_is_not_installed(check: Check) -> None:
    case = list(searches.promised(check, box_of(check)))[1]
    timing.time_case(check, Box(check.records, 100), case)
    rows = {row["kernel"]: row for row in check.records.rows}
    assert rows["triton"]["ms"] == rows["torch mm + topk"]["ms"] == 1.0
    assert rows["triton"]["against torch mm + topk"] == 1.0
    assert rows["triton"]["recall"] == 1.0
    assert check.wrong == []


def test_variants_run_and_leave_nothing_behind(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nearfield.triton import bounds

    few = [one for one in variants.TRITON if one[0] in ("tiles of 128 rows", "groups of 16")]
    monkeypatch.setattr(variants, "TRITON", tuple(few))
    before = bounds.batch_tile, bounds.GROUP
    variants.run(check, Box(check.records, 100))
    ours = [row for row in check.records.rows if row["case"].startswith("triton")]
    assert len(ours) == 3
    assert not [row for row in ours if row["note"]]
    assert (bounds.batch_tile, bounds.GROUP) == before


def test_definitions_agree(check: Check) -> None:
    """Scores by definition are the same by torch and by NumPy, what is not finite left out."""
    from bench.gpu.defined import DefinedScores

    rng = np.random.default_rng(0)
    for kind, rows in correctness.kinds_of_data(rng, 60, 9).items():
        queries = rng.standard_normal((4, 9), dtype=np.float32)
        for metric in correctness.METRICS:
            there = check.there.defined(*map(torch.from_numpy, (queries, rows)), metric)
            here = DefinedScores.computed(queries.astype(float), rows.astype(float), metric)
            np.testing.assert_allclose(there.best(60), here.best(60), atol=1e-9, err_msg=kind)
            ids = np.argsort(-here.of(np.tile(np.arange(60), (4, 1))), axis=1)[:, :5]
            scores = there.of(ids) * (-1 if metric == "l2" else 1)
            assert verdict((ids, scores, np.full(4, 5)), there, metric, 5) == ""
