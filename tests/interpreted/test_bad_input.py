"""What the GPU functions refuse, and how: what was got, what was expected, nothing changed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import nearfield as nf
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

import nearfield.triton as nt

X = torch.ones(4, 3)
LOW = nf.transforms.LowRank(np.ones((2, 3)), np.ones((3, 2)))
KEY = nf.transforms.KeyValue(np.ones((2, 3)), np.ones((2, 3)))
LEXICAL = nf.transforms.LexicalModulation(np.ones((5, 3)))
TOKENS = nf.Tokens([1, 2, 3, 4], [0, 1, 2, 3, 4])
NAN = X.clone()
NAN[2, 1] = torch.nan

REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: nt.topk(X.numpy(), X), TypeError, "queries: got a ndarray, expected a torch.Tensor"),
    (lambda: nt.topk(X, X.int()), TypeError, "rows: got dtype int32, expected one of float32"),
    (lambda: nt.topk(X[:, :2], X), ValueError, r"queries: got shape \(4, 2\), expected \(n, 3\)"),
    (lambda: nt.topk(X, X[None]), ValueError, r"rows: got shape \(1, 4, 3\), expected \(n, dim\)"),
    (lambda: nt.topk(X, X[:, :0]), ValueError, "rows: got shape .* expected 1 to 65536 columns"),
    (lambda: nt.topk(X, X, 0), ValueError, "k: got 0"),
    (lambda: nt.topk(X, X, 2.0), TypeError, "k: got 2.0"),
    (lambda: nt.topk(X, X, metric="dot"), ValueError, "metric: got 'dot'"),
    (lambda: nt.topk(X, X, precision="fp8"), ValueError, "precision: got 'fp8'"),
    (lambda: nt.topk(NAN, X), ValueError, "queries: row 2 holds NaN or infinity"),
    (lambda: nt.topk(X, NAN), ValueError, "rows: row 2 holds NaN or infinity"),
    (lambda: nt.topk(X, nt.Rows(X), metric="ip"), ValueError, "metric: got 'ip' for rows made"),
    (lambda: nt.topk(X, X, tokens=TOKENS), ValueError, "transform: got none, expected one"),
    (lambda: nt.Rows(X, scan="int4"), ValueError, "scan: got 'int4'"),
    (lambda: nt.topk(X.to("meta"), X), nf.DeviceError, "queries: got a tensor on meta"),
    (lambda: nt.assign(X, X[:0]), ValueError, "centroids: got none"),
    (lambda: nt.assign(NAN, X), ValueError, "x: row 2 holds NaN or infinity"),
    (lambda: nt.assign(X, NAN), ValueError, "centroids: row 2 holds NaN"),
    (lambda: nt.assign(X, X, spherical=1), TypeError, "spherical: got a int"),
    (lambda: nt.update(X, torch.tensor([0, 1, 2, 4]), X), ValueError, r"outside \[0, 4\)"),
    (lambda: nt.update(X, torch.zeros(3, dtype=int), X), ValueError, r"labels: got shape \(3,\)"),
    (lambda: nt.update(X, torch.zeros(4), X), TypeError, "labels: got float32"),
    (lambda: nt.adapt(X[:, :2], LOW), ValueError, r"x: got shape \(4, 2\), expected 3 columns"),
    (lambda: nt.adapt(X, []), ValueError, "transforms: got none"),
    (lambda: nt.adapt(X, [LOW, KEY]), TypeError, "several kinds"),
    (lambda: nt.adapt(X, nf.transforms.Normalize()), TypeError, "got a Normalize, expected LowRa"),
    (lambda: nt.adapt(X, LOW, transform_ids=torch.tensor([0, 1, 0, 0])), ValueError, r"\[-1, 1\)"),
    (lambda: nt.adapt(X, LOW, tokens=TOKENS), ValueError, "tokens: got some, but low_rank"),
    (lambda: nt.adapt(X, LOW, dtype=torch.int8), TypeError, "dtype: got torch.int8"),
    (lambda: nt.adapt(X, LEXICAL), TypeError, "tokens: got a NoneType"),
    (lambda: nt.adapt(X[:2], LEXICAL, tokens=TOKENS), ValueError, "tokens: got 4 rows for 2"),
    (lambda: nt.adapt(X, LEXICAL, tokens=nf.Tokens([9], [0, 1, 1, 1, 1])), ValueError, "got id 9"),
    (lambda: nt.adapt(X, [LEXICAL] * 2, tokens=TOKENS), ValueError, "got 2 modulations"),
    (lambda: nt.encode(X, nf.quant.OPQ(1)), TypeError, "quantizer: got a OPQ"),
    (lambda: nt.encode(X, nf.quant.ProductQuantizer(1)), nf.NotTrainedError, "train"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_refused(number: int) -> None:
    call, error, message = REFUSED[number]
    with pytest.raises(error, match=message):
        call()


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_importing_it_imports_neither_torch_nor_triton() -> None:
    code = "import sys, nearfield.triton; print({'torch', 'triton'} & set(sys.modules))"
    assert run(code).strip() == "set()"


def test_without_triton_the_extra_is_named() -> None:
    code = """
import sys
sys.modules["triton"] = None
import nearfield.triton
try:
    nearfield.triton.topk([[1]], [[1]])
except ImportError as error:
    print(error)
"""
    assert 'triton is not installed: pip install "nearfield[triton]"' in run(code)


def test_tensors_on_the_cpu_need_the_interpreter() -> None:
    code = """
import os
del os.environ["TRITON_INTERPRET"]
import torch, nearfield.triton
try:
    nearfield.triton.topk(torch.ones(1, 2), torch.ones(1, 2))
except nearfield.DeviceError as error:
    print(error)
"""
    assert "got a tensor on cpu, expected CUDA; nearfield.topk" in run(code)
