"""Transforms by Triton kernels: the definition, a transform per row, unit lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from oracle import transforms as oracle

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

import nearfield.triton as nt
from interpreted.tensors import DTYPES, assert_caught, tensor
from unit import adapters as samples

FORMS = ("low_rank", "low_rank_biased", "key_value", "sharp")


def near(found: Any, expected: np.ndarray, size: np.ndarray, share: float = 1e-6) -> None:
    error = np.abs(found.double().numpy() - expected)
    assert (error <= share * size + 1e-30).all(), f"off by {(error / size).max()} of the size"


@pytest.mark.parametrize("storage", DTYPES)
@pytest.mark.parametrize("form", FORMS)
def test_the_definition(form: str, storage: str) -> None:
    rng = np.random.default_rng(0)
    transform, definition = samples.made(form, 70)
    x = torch.from_numpy(rng.standard_normal((37, 70))).to(DTYPES[storage])
    expected, size = definition(x.double().numpy())
    near(nt.adapt(x, transform), expected, size)
    unit = nt.adapt(x, transform, normalize=True)
    length = np.linalg.norm(expected, axis=1, keepdims=True)
    shrunk = np.linalg.norm(size, axis=1, keepdims=True) / length
    near(unit, expected / length, size / length + np.abs(expected / length) * shrunk)
    short = nt.adapt(x, transform, dtype=torch.bfloat16)
    assert short.dtype == torch.bfloat16
    near(short, expected, size, 2.0**-7)  # the interpreter truncates
    assert torch.equal(nt.adapt(x[3], transform), nt.adapt(x, transform)[3])


@pytest.mark.parametrize("form", ["low_rank_biased", "key_value"])
def test_a_transform_per_row(form: str) -> None:
    rng = np.random.default_rng(1)
    many = [samples.made(form, 40, seed)[0] for seed in range(3)]
    if form == "key_value":
        many[1] = nf.transforms.KeyValue(many[1].keys[:7], many[1].values[:7])
    x = tensor(rng.standard_normal((50, 40)).astype(np.float32))
    ids = tensor(rng.choice([-1, 0, 0, 0, 2, 1], 50))
    on_device = nt.Adapters(many, "cpu")
    found = nt.adapt(x, on_device, transform_ids=ids)
    for i, transform in enumerate(many):
        assert torch.equal(found[ids == i], nt.adapt(x[ids == i], transform)), i
    assert torch.equal(found[ids == -1], x[ids == -1])
    unit = nt.adapt(x, on_device, transform_ids=ids, normalize=True)
    np.testing.assert_allclose(unit.norm(dim=1), 1.0, rtol=1e-6)


def test_identities_change_no_bit() -> None:
    x = tensor(np.random.default_rng(2).standard_normal((20, 33)).astype(np.float32))
    same = samples.identities(33)
    for name in ("low_rank", "low_rank_scale", "key_value"):
        assert torch.equal(nt.adapt(x, same[name]), x), name


def test_zero_rows_and_wild_lengths() -> None:
    transform = samples.made("low_rank", 24)[0]
    x = np.random.default_rng(3).standard_normal((6, 24)) * 10.0 ** np.arange(-20, 16, 6)[:, None]
    x = np.float32(x)
    x[2] = 0
    unit = nt.adapt(tensor(x), transform, normalize=True)
    assert (unit[2] == 0).all()
    expected = oracle.normalize(oracle.low_rank(np.float64(x), np.float64(transform.a),
                                np.float64(transform.b), 0.3, np.zeros(24))[0])[0]  # fmt: skip
    np.testing.assert_allclose(unit.numpy(), expected, atol=1e-5)


MODES = [("slr", "code"), ("slr", "paper"), ("llr", "code"), ("clr", "code"), ("llr", "paper")]


@pytest.mark.parametrize(("mode", "form"), MODES)
def test_modulation(mode: str, form: str) -> None:
    rng = np.random.default_rng(6)
    bias = samples.weights(rng, 45) if mode == "llr" else None
    scale = 0.7 if (mode, form) == ("slr", "code") else 1.0
    m = nf.transforms.LexicalModulation(
        samples.weights(rng, 30, 45, size=0.3), bias, mode, form=form, scale=scale,
        special_ids=[0, 5], normalize=mode != "clr",
    )  # fmt: skip
    lengths = [0, 4, 9, 1, 12]
    ids = rng.integers(0, 30, sum(lengths))
    ids[5] = ids[6]
    weights = None if mode == "slr" else samples.weights(rng, sum(lengths), size=2)
    tokens = nf.Tokens(ids, np.concatenate([[0], np.cumsum(lengths)]), weights)
    x = rng.standard_normal((5, 45)).astype(np.float32)
    found = nt.adapt(tensor(x), m, tokens=tokens)
    np.testing.assert_allclose(found.numpy(), m(x, tokens), rtol=3e-6, atol=1e-7)


FAULTS = {
    "a column off the end": ("kernels.adapt", "is_row[:, None] & (column[None, :] < dim)",
                             "is_row[:, None] & (column[None, :] < dim - 1)"),
    "padding takes a share": ("kernels.adapt", "rank[None, :] < known_keys", "rank[None, :] >= 0"),
    "the neighbour's adapter": ("kernels.adapt", "tl.load(piece_adapter + piece) - 1",
                                "tl.load(piece_adapter + piece) * 0"),
    "length of the row before": ("kernels.adapt", "square += tl.sum(y * y, axis=1)",
                                 "square += 1.0"),
    "equal tokens twice": ("modulation", "last[:-1] = key[1:] != key[:-1]", "pass"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_caught(
    fault: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert_caught(monkeypatch, tmp_path, FAULTS[fault], adapters_and_modulation)


def adapters_and_modulation() -> None:
    """Run what each of the faults shows in."""
    test_the_definition("low_rank", "float32")
    test_a_transform_per_row("key_value")
    test_modulation("slr", "code")
