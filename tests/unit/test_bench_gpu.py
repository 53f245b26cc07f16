"""The baselines of the GPU benchmarks give the answers they are timed for."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import dense

torch = pytest.importorskip("torch")

from bench.gpu import torch_topk  # noqa: E402

WAYS = (torch_topk.matmul_topk, torch_topk.group_topk)
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "k", "chunk"), [(1000, 10, 320), (77, 77, 32), (33, 1, 64)])
def test_the_definition(way: object, dtype: torch.dtype, n: int, k: int, chunk: int) -> None:
    rng = np.random.default_rng(n)
    rows = torch.from_numpy(rng.standard_normal((n, 24))).to(dtype)
    queries = torch.from_numpy(rng.standard_normal((7, 24))).to(dtype)
    ids, found = way(queries, rows, k, chunk=chunk)
    q, x = queries.double().numpy(), rows.double().numpy()
    expected, best, _ = dense.topk(q, x, k, "ip")
    np.testing.assert_allclose(found.numpy(), best, rtol=1e-5, atol=1e-5)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(np.take_along_axis(q @ x.T, ids.numpy(), axis=1), best, rtol=1e-5,
                               atol=1e-5)  # fmt: skip
    assert (ids.numpy() == expected).mean() > 0.99


def test_second_looks_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows, queries = (torch.from_numpy(rng.standard_normal((n, 8))).float() for n in (200, 9))
    whole = torch_topk.group_topk(queries, rows, 5, chunk=64)
    monkeypatch.setattr(torch_topk, "RESCORED_BYTES", 2 * 5 * 32 * 32)
    pieces = torch_topk.group_topk(queries, rows, 5, chunk=64)
    assert torch.equal(whole[0], pieces[0])


def test_chunks_are_whole_groups() -> None:
    with pytest.raises(ValueError, match="chunk: got 33, expected a multiple of 32"):
        torch_topk.group_topk(torch.ones(1, 2), torch.ones(9, 2), 1, chunk=33)
