"""fit_upgrade: its closed forms against their definitions, its report and its errors."""

from __future__ import annotations

import json
from typing import Any

import nearfield as nf
import numpy as np
import pytest

NEW, OLD = 12, 8


def pairs(n: int = 400, noise: float = 0.05, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    new = rng.standard_normal((n, NEW)) + 1
    old = new @ rng.standard_normal((NEW, OLD)) + rng.standard_normal(OLD)
    old += noise * rng.standard_normal(old.shape)
    return new.astype(np.float32), old.astype(np.float32)


def fitted_part(n: int, test: float, seed: int, chooses: bool) -> np.ndarray:
    held_out = round(n * test)
    order = np.random.default_rng(seed).permutation(n)
    return order[2 * held_out if chooses else held_out :]


def test_ridge_minimises_its_objective() -> None:
    new, old = pairs()
    fit = nf.fit_upgrade(new, old, ridge=0.5, metric="l2", seed=3)
    part = fitted_part(400, 0.1, 3, False)
    x, y = new[part].astype(float), old[part].astype(float)
    x, y = x - x.mean(0), y - y.mean(0)
    penalty = 0.5 * (x * x).sum() / NEW
    expected = np.linalg.lstsq(
        np.vstack([x, np.sqrt(penalty) * np.eye(NEW)]),
        np.vstack([y, np.zeros((NEW, OLD))]),
        rcond=None,
    )[0].T
    np.testing.assert_allclose(fit.transform.w, expected, rtol=1e-5, atol=1e-6)
    mean = fit.transform(new[part].mean(0))
    np.testing.assert_allclose(mean, old[part].mean(0), rtol=1e-5, atol=1e-5)


def test_procrustes_is_the_best_rotation_and_scale() -> None:
    rng = np.random.default_rng(1)
    new = rng.standard_normal((200, OLD)).astype(np.float32)
    rotation = np.linalg.qr(rng.standard_normal((OLD, OLD)))[0]
    old = (3 * new @ rotation.T + 2).astype(np.float32)
    fit = nf.fit_upgrade(new, old, form="procrustes", metric="l2")
    np.testing.assert_allclose(fit.transform.w, 3 * rotation, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(fit.transform.b, 2, rtol=1e-5)
    assert fit.report.recall == 1.0
    assert fit.report.ridge is None


def test_procrustes_between_dimensions_keeps_orthonormal_rows() -> None:
    new, old = pairs()
    w = nf.fit_upgrade(new, old, form="procrustes").transform.w.astype(float)
    gram = w @ w.T
    np.testing.assert_allclose(gram, np.eye(OLD) * gram[0, 0], atol=1e-5)


def test_low_rank_is_reduced_rank_regression() -> None:
    new, old = pairs(noise=2.0)
    fit = nf.fit_upgrade(new, old, form="low_rank", rank=3, ridge=0.0, metric="l2")
    part = fitted_part(400, 0.1, 0, False)
    x, y = new[part].astype(float), old[part].astype(float)
    x, y = x - x.mean(0), y - y.mean(0)
    full = np.linalg.lstsq(x, y, rcond=None)[0]
    main = np.linalg.svd(x @ full, full_matrices=False)[2][:3]
    expected = (full @ main.T @ main).T
    first, last = fit.transform.transforms
    assert first.w.shape == (3, NEW)
    np.testing.assert_allclose(last.w @ first.w, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", ["ridge", "procrustes", "low_rank"])
def test_the_report(form: str) -> None:
    new, old = pairs(noise=0.3)
    fit = nf.fit_upgrade(new, old, form=form, rank=6)
    report = fit.report
    assert fit.transform(new).shape == old.shape
    assert 0 < report.recall <= 1
    assert report.sizes["test"] == 40
    assert json.loads(report.to_json())["cosine"] == report.cosine
    assert form in str(report)
    assert f"{report.recall:.4f}" in str(report)


def test_held_out_pairs_choose_the_penalty() -> None:
    rng = np.random.default_rng(5)
    new = rng.standard_normal((90, 60)).astype(np.float32)
    old = (new[:, :OLD] + 2 * rng.standard_normal((90, OLD))).astype(np.float32)
    chosen = nf.fit_upgrade(new, old, metric="l2")
    assert chosen.report.ridge >= 0.01
    again = nf.fit_upgrade(new, old, metric="l2")
    assert (chosen.transform.w == again.transform.w).all()


def test_fewer_pairs_than_dimensions() -> None:
    new = np.random.default_rng(0).standard_normal((40, 64)).astype(np.float32)
    fit = nf.fit_upgrade(new, new[:, :4], ridge=0.0)
    assert np.isfinite(fit.transform.w).all()


@pytest.mark.parametrize("form", ["ridge", "procrustes", "low_rank"])
@pytest.mark.parametrize("side", [0, 1])
def test_lengths_beyond_the_squares_of_float32_change_nothing(form: str, side: int) -> None:
    plain = pairs(noise=0.5)
    wanted = nf.fit_upgrade(*plain, form=form).report
    for scale in (2.0**-70, 2.0**70):  # squares of these lengths are 0 and infinity in float32
        scaled = list(plain)
        scaled[side] = plain[side] * np.float32(scale)
        found = nf.fit_upgrade(*scaled, form=form).report
        assert found.cosine == pytest.approx(wanted.cosine, abs=1e-6)
        assert found.recall == pytest.approx(wanted.recall, abs=0.02)
        assert found.ridge == wanted.ridge
    unscaled = nf.fit_upgrade(*plain, form=form, metric="ip").report
    assert nf.fit_upgrade(*scaled, form=form, metric="ip").report.cosine == pytest.approx(
        unscaled.cosine, abs=1e-6
    )


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda x, y: (x, y[:-1]), {}, "old: got 399 rows beside 400 of new"),
        (lambda x, y: (x[:10], y[:10]), {}, "new: got 10 pairs, expected at least 32"),
        (lambda x, y: (np.where(x > 2, np.nan, x), y), {}, "new: row . holds NaN"),
        (lambda x, y: (x, y), {"form": "mlp"}, "form: got 'mlp'"),
        (lambda x, y: (x, y), {"ridge": -1.0}, "ridge: got -1.0"),
        (lambda x, y: (x, y), {"form": "procrustes", "ridge": 1.0}, "ridge: got 1.0 with form"),
        (lambda x, y: (x, y), {"test": 0.99}, "test: got 0.99, which leaves"),
        (lambda x, y: (x, y), {"metric": "dot"}, "metric: got 'dot'"),
    ],
)
def test_wrong_arguments(change: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nf.fit_upgrade(*change(*pairs()), **options)
