"""Transforms as a user meets them: results, identities, arguments, errors."""

from __future__ import annotations

import json
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from unit.adapters import FORMS, T, identities, made, weights

DIM = 40
X = weights(np.random.default_rng(5), 150, DIM)


@pytest.mark.parametrize("dim", [1, 17, 64, 384])
@pytest.mark.parametrize("form", FORMS)
def test_results_are_those_of_the_definition(form: str, dim: int) -> None:
    transform, definition = made(form, dim)
    x = weights(np.random.default_rng(2), 101, dim)
    expected, size = definition(x.astype(np.float64))
    found = transform(x)
    assert found.dtype == np.float32
    assert found.shape == expected.shape == (101, transform.out_dim or dim)
    assert (np.abs(found - expected) <= 1e-6 * size + 1e-37).all()


@pytest.mark.parametrize("name", identities(DIM))
def test_identity_parameters_change_no_bit(name: str) -> None:
    transform = identities(DIM)[name]
    for power in (-30, 0, 30):
        x = X * np.float32(10.0**power)
        assert transform(x).tobytes() == x.tobytes()


@pytest.mark.parametrize("form", FORMS)
def test_parameters_and_config_make_the_same_transform(form: str) -> None:
    transform, _ = made(form, DIM)
    config = json.loads(json.dumps(transform.config()))
    again = T.base.KINDS[transform.kind].from_parameters(transform.parameters(), config)
    assert type(again) is type(transform)
    assert again(X).tobytes() == transform(X).tobytes()
    assert repr(again) == repr(transform)


def test_one_vector_has_no_row_axis() -> None:
    transform, _ = made("key_value", DIM)
    assert transform(X[3]).tobytes() == transform(X)[3].tobytes()
    assert transform(X[3]).shape == (DIM,)
    assert transform(X[:0]).shape == (0, DIM)
    assert T.Normalize()(X[3]).shape == (DIM,)
    assert T.Normalize()([[3, 4]]).tolist() == [[np.float32(0.6), np.float32(0.8)]]


def test_arguments_are_kept_as_they_were() -> None:
    w = np.eye(3)
    transform = T.Affine(w, b=[1, 2, 3])
    w[0, 0] = 7
    assert transform.w.dtype == np.float32
    assert transform.w[0, 0] == 1
    assert transform.parameters().keys() == {"w", "b"}
    with pytest.raises(ValueError, match="read-only"):
        transform.w[0, 0] = 2
    assert T.Affine(w).parameters().keys() == {"w"}


def test_every_float_type_is_taken() -> None:
    import ml_dtypes
    import torch

    whole = np.arange(6).reshape(2, 3)
    expected = T.Affine(whole.tolist())(np.float32([1, 2, 3]))
    for taken in (
        whole.tolist(),
        whole.astype(np.float64),
        whole.astype(ml_dtypes.bfloat16),
        torch.tensor(whole, dtype=torch.bfloat16),
        whole.astype(np.float64).T.copy().T,
    ):
        assert (T.Affine(taken)(np.float32([1, 2, 3])) == expected).all()


@pytest.mark.parametrize("mode", ["relu", "leaky_relu", "tanh", "sigmoid"])
def test_activations(mode: str) -> None:
    from oracle import transforms as oracle

    x = np.linspace(-30, 30, 1001, dtype=np.float32)
    np.testing.assert_allclose(
        T.Activation(mode)(x), oracle.activate(x.astype(np.float64), mode), rtol=5e-7, atol=0
    )


def test_normalize() -> None:
    x = X * 10.0 ** np.linspace(-25, 15, 150, dtype=np.float32)[:, None]
    x[7] = 0
    unit = T.Normalize()(x).astype(np.float64)
    norms = np.delete(np.linalg.norm(unit, axis=1), 7)
    np.testing.assert_allclose(norms, 1, rtol=1e-7)
    assert not unit[7].any()


SQUARE, TALL, LONG = np.eye(3), np.ones((4, 3)), np.ones(5)
WRONG: list[tuple[Any, type[Exception], str]] = [
    (lambda: T.Affine(LONG), ValueError, "w: got shape .5,.*matrix"),
    (lambda: T.Affine(np.ones((0, 3))), ValueError, "w: .*not empty"),
    (lambda: T.Affine(SQUARE, LONG), ValueError, r"b: got shape \(5,\), expected \(3,\)"),
    (lambda: T.Affine([[np.nan]]), ValueError, "w: got nan at .0, 0."),
    (lambda: T.Affine([[1e39]]), ValueError, "w: .*overflows float32"),
    (lambda: T.Affine("w"), TypeError, "w: got a str"),
    (lambda: T.Affine([["a"]]), TypeError, "w: "),
    (lambda: T.LowRank(TALL, TALL), ValueError, r"b: got shape \(4, 3\), expected \(3, 4\)"),
    (lambda: T.LowRank(TALL, TALL.T, scale=np.nan), ValueError, "scale: got NaN"),
    (lambda: T.LowRank(TALL, TALL.T, scale="2"), TypeError, "scale: "),
    (lambda: T.LowRank(TALL, TALL.T * 1e38, scale=1e9), ValueError, "b: .*float32"),
    (lambda: T.LowRank(TALL, TALL.T, bias=LONG), ValueError, "bias: got shape"),
    (lambda: T.KeyValue(TALL, SQUARE), ValueError, "values: got shape"),
    (lambda: T.KeyValue(TALL, TALL, 0), ValueError, "temperature: got 0.0"),
    (lambda: T.KeyValue(TALL, TALL, -1), ValueError, "temperature: got -1.0"),
    (lambda: T.KeyValue(TALL, TALL, 1e-40), ValueError, "temperature: got 1e-40"),
    (lambda: T.KeyValue(TALL, [[np.inf] * 3] * 4), ValueError, "values: got inf"),
    (lambda: T.ResidualMLP(TALL, None, SQUARE, None), ValueError, "w2: got shape"),
    (lambda: T.ResidualMLP(TALL), TypeError, "w2: got None"),
    (lambda: T.ResidualMLP(TALL, LONG, TALL.T, None), ValueError, "b1: got shape"),
    (lambda: T.ResidualMLP(TALL, None, TALL.T, LONG), ValueError, "b2: got shape"),
    (lambda: T.ResidualMLP(TALL, None, TALL.T, None, 1, "gelu"), ValueError, "activation: .*relu"),
    (lambda: T.ResidualMLP(TALL, None, TALL.T, [1e30] * 3, 1e30), ValueError, "b2: .*float32"),
    (lambda: T.Diagonal(SQUARE), ValueError, "w: got shape .*vector"),
    (lambda: T.Activation("swish"), ValueError, "activation: got 'swish'"),
    (lambda: T.Chain(T.Normalize()), TypeError, "transforms: got a Normalize"),
    (lambda: T.Chain([1]), TypeError, r"transforms\[0\]: got a int"),
    (lambda: T.Chain([T.Affine(TALL)] * 2), ValueError, r"transforms\[1\]: takes 3 .*gets 4"),
    (lambda: T.Transform(), TypeError, "make one of activation, affine"),
    (lambda: T.Affine(SQUARE)(LONG), ValueError, r"x: got shape \(5,\), expected \(3,\)"),
    (lambda: T.Affine(SQUARE)([[1, 2, np.nan]]), ValueError, "x: query 0 holds NaN"),
    (lambda: T.Normalize()([[1.0], [np.inf]]), ValueError, "x: query 1 holds NaN or inf"),
    (lambda: T.Affine(SQUARE * 1e30)(np.full((3, 3), 1e30)), ValueError, "query 0 .*beyond"),
    (lambda: T.Affine(SQUARE)(SQUARE, threads=0), ValueError, "threads: got 0"),
    (lambda: T.Affine.from_parameters({}, {}), ValueError, "affine: w missing"),
    (lambda: T.Affine.from_parameters({"v": LONG}, {}), ValueError, "unknown array 'v'"),
    (lambda: T.Diagonal.from_parameters({"w": LONG}, {"a": 1}), ValueError, "setting 'a'"),
    (lambda: T.Chain.from_parameters({"1.w": LONG}, {}), ValueError, "chain: got parts"),
    (lambda: T.Chain.from_parameters({"0.w": LONG}, {}), ValueError, "part 0 has kind None"),
    (lambda: T.Chain.from_parameters({}, {"0.kind": []}), ValueError, "part 0 has kind"),
]


@pytest.mark.parametrize("case", range(len(WRONG)))
def test_wrong_arguments_say_what_was_expected(case: int) -> None:
    call, error, pattern = WRONG[case]
    with pytest.raises(error, match=pattern):
        call()


HUGE = np.float32(3e38)
OVERFLOWS = [
    T.KeyValue([[HUGE, -HUGE], [1, 1]], np.ones((2, 2))),
    T.ResidualMLP([[HUGE, -HUGE]], None, [[1], [1]], None, 1.0, "relu"),
    T.ResidualMLP([[-HUGE, -HUGE]], None, [[1], [1]], None, 1.0, "relu"),
    T.ResidualMLP([[HUGE, HUGE]], None, [[0], [0]], None, 1.0, "tanh"),
    T.ResidualMLP([[HUGE, -HUGE]], None, [[0], [0]], None, 1.0, "sigmoid"),
    T.Chain([T.Affine([[HUGE, HUGE], [1, 1]]), T.Normalize()]),
    T.LowRank([[HUGE, -HUGE]], [[1], [1]]),
]


@pytest.mark.parametrize("transform", OVERFLOWS, ids=repr)
def test_no_overflow_hides_behind_a_finite_result(transform: Any) -> None:
    """Infinities inside, which limits and maxima would take for a number."""
    with pytest.raises(ValueError, match="query 1 is taken beyond float32"):
        transform(np.float32([[0, 0], [1e3, 1e3], [1, 1]]))


def test_tokens() -> None:
    tokens = nf.Tokens([3, 1, 1], [0, 2, 2, 3], weights=[0.5, 1, 2])
    assert len(tokens) == 3
    assert repr(tokens) == "Tokens(3 ids in 3 rows, weighted)"
    assert len(nf.Tokens([], [0])) == 0
    assert len(nf.Tokens([], [0, 0], weights=[])) == 1
    for ids, offsets, given, error, pattern in [
        ([0, -4], [0, 2], None, ValueError, "ids: got -4 at 1"),
        ([0.5], [0, 1], None, TypeError, "ids: .*integers"),
        ([1], [], None, ValueError, "offsets: got nothing, expected 0 to 1"),
        ([1], [0, 2], None, ValueError, "offsets: got 0 to 2, expected 0 to 1"),
        ([1, 2], [0, 2, 1, 2], None, ValueError, "offsets: got 2 and then 1 at 1"),
        ([1], [0, 1], [1, 2], ValueError, r"weights: got shape \(2,\)"),
        ([1], [0, 1], [np.nan], ValueError, "weights: got nan"),
    ]:
        with pytest.raises(error, match=pattern):
            nf.Tokens(ids, offsets, given)
