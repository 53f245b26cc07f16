"""The forms that are fitted: start, gradients, losses, and the transforms they become."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from nearfield.fitting.forms import FORMS
from nearfield.fitting.lexical_model import modulate
from nearfield.fitting.losses import LOSSES, info_nce, margin

DIM, RANK = 6, 4


def inputs(seed: int = 0, n: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)


def parameters_of(name: str, seed: int = 1, moved: bool = True) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    start = FORMS[name].start(inputs(), RANK, rng)
    if not moved:
        return start
    return {
        key: (value + 0.3 * rng.standard_normal(value.shape)).astype(np.float32)
        for key, value in start.items()
    }


@pytest.mark.parametrize("name", FORMS)
def test_every_start_is_the_identity_bit_for_bit(name: str) -> None:
    x = inputs()
    start = parameters_of(name, moved=False)
    assert (FORMS[name].forward(start, x) == x).all()
    assert (FORMS[name].transform(start, 3.0)(x) == x).all()
    assert all((start[key] == 0).all() for key in FORMS[name].decayed)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("scale", [1.0, 7.5])
def test_the_transform_is_the_forward_map_of_scaled_vectors(name: str, scale: float) -> None:
    form, x = FORMS[name], inputs(2)
    found = parameters_of(name)
    wide = {key: value.astype(np.float64) for key, value in found.items()}
    expected = scale * form.forward(wide, x.astype(np.float64) / scale)
    np.testing.assert_allclose(
        form.transform(found, scale)(x), expected, rtol=0, atol=1e-6 * np.abs(expected).max()
    )


@pytest.mark.parametrize("name", FORMS)
def test_a_corpus_side_without_a_bias(name: str) -> None:
    form, x = FORMS[name], inputs(3)
    found = parameters_of(name)
    for key in form.query_only:
        del found[key]
    np.testing.assert_allclose(
        form.transform(found, 1.0)(x), form.forward(found, x), rtol=1e-5, atol=1e-5
    )


def check_gradients(function: Callable[[dict[str, Any]], Any], at: dict[str, np.ndarray]) -> None:
    """Compare autograd with central differences, in float64."""
    torch = pytest.importorskip("torch")
    leaves = {
        key: torch.from_numpy(value.astype(np.float64)).requires_grad_()
        for key, value in at.items()
    }
    function(leaves).backward()
    step = 1e-6
    for key, leaf in leaves.items():
        numeric = np.zeros(leaf.shape)
        for place in np.ndindex(*leaf.shape):
            sides = []
            for sign in (1, -1):
                moved = {name: one.detach().clone() for name, one in leaves.items()}
                moved[key][place] += sign * step
                sides.append(float(function(moved)))
            numeric[place] = (sides[0] - sides[1]) / (2 * step)
        np.testing.assert_allclose(leaf.grad.numpy(), numeric, rtol=1e-5, atol=1e-7, err_msg=key)


def masks() -> tuple[Any, Any]:
    torch = pytest.importorskip("torch")
    positive = torch.zeros(12, 9, dtype=torch.bool)
    positive[torch.arange(12), torch.arange(12) % 9] = True
    positive[3, 8] = True
    spared = positive.clone()
    spared[5, 7] = True
    return positive, spared


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", FORMS)
def test_gradients_against_central_differences(name: str, loss: str) -> None:
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(inputs(4).astype(np.float64))
    rows = torch.from_numpy(inputs(5, 9).astype(np.float64))
    unit = torch.nn.functional.normalize
    function, _, tempered_by = LOSSES[loss]

    def of(p: dict[str, Any]) -> Any:
        scores = unit(FORMS[name].forward(p, x), dim=1) @ unit(rows, dim=1).T
        return function(scores, *masks(), tempered_by)

    check_gradients(of, parameters_of(name))


def test_gradients_of_the_modulation() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(6)
    x, target = (torch.from_numpy(inputs(seed, 5).astype(np.float64)) for seed in (7, 8))
    at = {
        "weight": rng.standard_normal((10, DIM)),
        "bias": rng.standard_normal(DIM),
        "tokens": rng.random((5, 10)),
    }
    check_gradients(lambda p: (modulate(p["weight"], p["bias"], p["tokens"], x) * target).sum(), at)


def test_info_nce_by_hand() -> None:
    torch = pytest.importorskip("torch")
    scores = torch.tensor([[0.9, 0.5, 0.1], [0.2, 0.4, 0.3]], dtype=torch.float64)
    positive = torch.tensor([[True, True, False], [False, True, False]])
    spared = torch.tensor([[True, True, False], [True, True, False]])
    e = np.exp(scores.numpy() / 0.5)
    by_hand = [-np.log((e[0, 0] + e[0, 1]) / e[0].sum()), -np.log(e[1, 1] / (e[1, 1] + e[1, 2]))]
    assert float(info_nce(scores, positive, spared, 0.5)) == pytest.approx(np.mean(by_hand))


def test_the_margin_by_hand() -> None:
    torch = pytest.importorskip("torch")
    scores = torch.tensor([[0.9, 0.5, 0.85, 0.1], [0.2, 0.7, 0.65, 0.69]], dtype=torch.float64)
    positive = torch.tensor([[True, True, False, False], [False, True, False, False]])
    spared = torch.tensor([[True, True, False, False], [False, True, False, True]])
    # Pairs: (0.9: 0.85 short by 0.05), (0.5: 0.85 short by 0.45), (0.7: 0.65 short by 0.05).
    assert float(margin(scores, positive, spared, 0.1)) == pytest.approx((0.05 + 0.45 + 0.05) / 3)
    far = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]], dtype=torch.float64)
    assert float(margin(far, positive, spared, 0.1)) == 0.0
