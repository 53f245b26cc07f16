"""Quantizers on a device against quantizers on the CPU: the same codes, rows and centroids."""

from __future__ import annotations

import nearfield as nf
import numpy as np
import pytest
from cuda.python.test_topk import on_host, values
from cuda.standin import DlpackArray, InterfaceArray, Standin, contents
from nearfield.quant import OPQ, ProductQuantizer, RabitQuantizer, ScalarQuantizer

DTYPES = ("float32", "float16", "bfloat16", "int8", "uint8")
KINDS = {
    "sq8": lambda: ScalarQuantizer(8),
    "sq4": lambda: ScalarQuantizer(4),
    "pq of 8 bits": lambda: ProductQuantizer(m=3, nbits=8),
    "pq of 4 bits": lambda: ProductQuantizer(m=5, nbits=4),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_codes_and_rows(standin: Standin, rng: np.random.Generator, kind: str, dtype: str) -> None:
    rows = values(rng, (300, 15), dtype)
    rows[50:70] = rows[:20]
    here = on_host(rows, dtype)
    quantizer = KINDS[kind]().train(here)
    rows = values(rng, (77, 15), dtype)  # others than those of training, some out of their range
    here = on_host(rows, dtype)
    there = DlpackArray(standin, rows, bfloat16=dtype == "bfloat16", stream=standin.stream())
    quantizer.encode(there)
    ran, waits = standin.launches, standin.calls("cuStreamSynchronize")
    codes = quantizer.encode(there)
    decoded = quantizer.decode(codes, stream=standin.stream())
    assert (standin.launches, standin.calls("cuStreamSynchronize")) == (ran, waits)
    expected = quantizer.encode(here)
    assert (codes.dtype, codes.shape) == ("uint8", expected.shape)
    np.testing.assert_array_equal(contents(codes, standin), expected)
    np.testing.assert_array_equal(contents(decoded, standin), quantizer.decode(expected))


def test_ties_go_to_the_smaller_number(standin: Standin) -> None:
    rows = np.float32([[0, 0]] * 20 + [[8, 8]] * 20 + [[4, 4]])
    quantizer = ProductQuantizer(m=1, nbits=4).train(rows)
    codes = contents(quantizer.encode(DlpackArray(standin, rows)), standin)
    np.testing.assert_array_equal(codes, quantizer.encode(rows))


def test_rows_may_lie_apart(standin: Standin, rng: np.random.Generator) -> None:
    rows = values(rng, (120, 20), "float32")[::2, 3:9]
    for kind in ("sq4", "pq of 8 bits"):
        quantizer = KINDS[kind]()
        quantizer = quantizer if kind == "sq4" else ProductQuantizer(m=3, nbits=4)
        quantizer.train(rows)
        for array in (DlpackArray(standin, rows), InterfaceArray(standin, rows)):
            codes = quantizer.encode(array)
            np.testing.assert_array_equal(contents(codes, standin), quantizer.encode(rows))
    wide = np.repeat(quantizer.encode(rows), 2, axis=1)
    half = wide[:, : quantizer.code_size]
    np.testing.assert_array_equal(
        contents(quantizer.decode(DlpackArray(standin, half)), standin), quantizer.decode(half)
    )
    none = quantizer.encode(DlpackArray(standin, np.empty((0, 6), np.float32)))
    assert none.shape == (0, 2)
    assert quantizer.decode(none).shape == (0, 6)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_training(standin: Standin, rng: np.random.Generator, dtype: str) -> None:
    rows = values(rng, (150, 6), dtype)
    there = ProductQuantizer(m=2, nbits=4).train(DlpackArray(standin, rows), seed=3)
    here = ProductQuantizer(m=2, nbits=4).train(rows, seed=3)
    np.testing.assert_array_equal(there.codebooks, here.codebooks)
    np.testing.assert_array_equal(there.encode(rows), here.encode(rows))


def test_what_is_not_taken(standin: Standin, rng: np.random.Generator) -> None:
    rows = values(rng, (300, 8), "float32")
    there = DlpackArray(standin, rows)
    quantizer = ProductQuantizer(m=2, nbits=4)
    with pytest.raises(nf.NotTrainedError):
        quantizer.encode(there)
    bad = rows.copy()
    bad[9, 3] = np.inf
    with pytest.raises(ValueError, match="x: row 9 holds NaN or infinity"):
        quantizer.train(DlpackArray(standin, bad))
    with pytest.raises(ValueError, match="x: got 9 rows to train on, expected at least 16"):
        quantizer.train(DlpackArray(standin, rows[:9].copy()))
    with pytest.raises(ValueError, match="m: got 3 for dim 8"):
        ProductQuantizer(m=3).train(there)
    assert not quantizer.is_trained
    quantizer.train(there)
    with pytest.raises(ValueError, match="x: this quantizer is trained already"):
        quantizer.train(there)
    for other in (OPQ(m=2, nbits=4), RabitQuantizer(bits=2), ScalarQuantizer()):
        with pytest.raises(TypeError, match="expected pq<m>x<nbits>"):
            other.train(there)
    for other in (OPQ(m=2, nbits=4), RabitQuantizer(bits=2), ProductQuantizer(m=2, nbits=6)):
        other.train(rows)
        with pytest.raises(ValueError, match=r"on cuda:0: got .*, expected sq8, sq4, or pq"):
            other.encode(there)
    wide = values(rng, (300, 600), "float32")
    too_wide = ProductQuantizer(m=1, nbits=8).train(wide)
    with pytest.raises(ValueError, match="use a larger m, or encode on the CPU"):
        too_wide.encode(DlpackArray(standin, wide))
    with pytest.raises(ValueError, match=r"x: got shape \(300, 7\)"):
        quantizer.encode(DlpackArray(standin, rows[:, :7].copy()))
    with pytest.raises(ValueError, match=r"x: got shape \(8,\), expected \(n, 8\)"):
        quantizer.encode(DlpackArray(standin, rows[0]))
    with pytest.raises(TypeError, match="codes: got int8, expected uint8"):
        quantizer.decode(DlpackArray(standin, np.ones((3, 1), np.int8)))
    for call, array in ((quantizer.encode, rows), (quantizer.train, rows)):
        with pytest.raises(TypeError, match="stream: got one for rows on the CPU"):
            call(array, stream=1)
    with pytest.raises(TypeError, match="stream: got one for codes"):
        quantizer.decode(np.ones((3, 1), np.uint8), stream=1)


def test_failures_change_nothing(
    standin: Standin, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = values(rng, (60, 4), "float32")
    there = DlpackArray(standin, rows)
    for function in ("cuMemAllocAsync", "cuMemcpyDtoHAsync", "cuLaunchKernel"):
        for call in (1, 3, 9):
            quantizer = ProductQuantizer(m=2, nbits=4)
            monkeypatch.setenv("STANDIN_FAILS", f"{function}=2@{call}")
            with pytest.raises(nf.DeviceError):
                quantizer.train(there)
            monkeypatch.delenv("STANDIN_FAILS")
            assert not quantizer.is_trained
    quantizer.train(there)
    for function in ("cuMemAllocAsync", "cuMemcpyHtoDAsync", "cuLaunchKernel"):
        quantizer._placed = None
        monkeypatch.setenv("STANDIN_FAILS", f"{function}=2")
        with pytest.raises(nf.DeviceError):
            quantizer.encode(there)
        monkeypatch.delenv("STANDIN_FAILS")
        codes = quantizer.encode(there)
        np.testing.assert_array_equal(contents(codes, standin), quantizer.encode(rows))
