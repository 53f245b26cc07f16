"""Quantizers: laws every registered one keeps, the oracle of each kind, and refused arguments."""

from __future__ import annotations

import itertools
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from nearfield import _core
from oracle import quantizers as oracle
from plugins.isa import Level

DIM, M = 24, 6


def names() -> list[str]:
    """Return a name of every form in the registry: m is 6, bits are 4 and 8."""
    found = []
    for form in _core.quantizer_forms():
        choices = (4, 8) if "<bits>" in form else (0,)
        found += [form.replace("<m>", str(M)).replace("<bits>", str(bits)) for bits in choices]
    return found


NAMES = names()
PRODUCTS = ["pq6x4", "pq6x5", "pq6x7", "pq6x8", "pq12x9", "pq3x10", "pq6x12", "opq6x4", "opq6x9"]
EVERY = [*NAMES, *(name for name in PRODUCTS if name not in NAMES)]


def rows(n: int, dim: int = DIM, seed: int = 0) -> np.ndarray:
    """Return correlated rows of unequal variance, off the origin."""
    rng = np.random.default_rng([seed, n, dim])
    mix = rng.standard_normal((dim, dim)) * np.geomspace(3, 0.1, dim)
    return (rng.standard_normal((n, dim)) @ mix + 2).astype(np.float32)


def trained(name: str, x: np.ndarray, threads: int = 2) -> _core.Quantizer:
    quantizer = _core.Quantizer(name, x.shape[1])
    quantizer.train(x, 0, threads)
    return quantizer


@pytest.fixture(scope="module", params=EVERY)
def quantizer(request: pytest.FixtureRequest) -> _core.Quantizer:
    return trained(request.param, rows(4200))


def test_the_registry_lists_what_it_makes() -> None:
    assert {"sq8", "sq4", "pq<m>x<bits>", "opq<m>x<bits>"} <= set(_core.quantizer_forms())
    for name in EVERY:
        assert _core.Quantizer(name, DIM).name == name


@pytest.mark.parametrize(
    "name",
    ["", "pq", "pq8", "pq8x", "pqx8", "pq08x8", "pq8x8 ", "sq", "sq5", "sq88", "PQ8x8", "pq8x8x8",
     "pq9999999x8", "pq-1x8", "opq8x8!"],
)  # fmt: skip
def test_unknown_names_list_the_known_ones(name: str) -> None:
    with pytest.raises(ValueError, match=r"expected one of sq8, sq4, pq<m>x<bits>, opq<m>x<bits>"):
        _core.Quantizer(name, 64)


@pytest.mark.parametrize("kind", ["pq", "opq"])
def test_names_that_do_not_fit_the_dimension(kind: str) -> None:
    with pytest.raises(ValueError, match=r"m: got 7 for dim 24.*try m = 6 or 8"):
        _core.Quantizer(f"{kind}7x8", 24)
    with pytest.raises(ValueError, match=r"m: got 48 for dim 24.*try m = 24"):
        _core.Quantizer(f"{kind}48x8", 24)
    for bits in (1, 3, 13):
        with pytest.raises(ValueError, match=rf"nbits: got {bits}, expected 4 to 12"):
            _core.Quantizer(f"{kind}8x{bits}", 24)


def test_shapes(quantizer: _core.Quantizer) -> None:
    x = rows(70, seed=1)
    codes = quantizer.encode(x, 1)
    assert codes.dtype == np.uint8
    assert codes.shape == (70, quantizer.code_size)
    decoded = quantizer.decode(codes, 1)
    assert decoded.dtype == np.float32
    assert decoded.shape == x.shape
    assert quantizer.encode(x[:0], 1).shape == (0, quantizer.code_size)
    assert quantizer.decode(codes[:0], 1).shape == (0, DIM)
    assert quantizer.scores(x[:3], codes[:0], "ip", 1).shape == (3, 0)


def test_codes_say_something(quantizer: _core.Quantizer) -> None:
    """The decoded row is far nearer than the mean, and more so than another row's code."""
    x = rows(300, seed=2)
    decoded = quantizer.decode(quantizer.encode(x, 2), 2)
    error = ((decoded - x) ** 2).sum(axis=1)
    spread = ((x - x.mean(axis=0)) ** 2).sum(axis=1)
    assert error.mean() < 0.5 * spread.mean()


def test_decoding_and_encoding_again_changes_nothing(quantizer: _core.Quantizer) -> None:
    if quantizer.name.startswith("rabitq"):
        pytest.skip("a rescaled code may decode to a point of another scale")
    codes = quantizer.encode(rows(300, seed=3), 1)
    again = quantizer.encode(quantizer.decode(codes, 1), 1)
    # A rotation there and back rounds: a tie between two centroids may fall the other way.
    assert (again == codes).mean() >= (0.999 if quantizer.name.startswith("opq") else 1)


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_scores_are_those_of_decoded_rows(quantizer: _core.Quantizer, metric: str) -> None:
    x, q = rows(500, seed=4), rows(7, seed=5)
    codes = quantizer.encode(x, 1)
    decoded = quantizer.decode(codes, 1).astype(np.float64)
    wide = q.astype(np.float64)
    if metric == "ip":
        expected = wide @ decoded.T
        scale = np.abs(wide) @ np.abs(decoded).T
    else:
        expected = -((wide[:, None] - decoded[None]) ** 2).sum(axis=2)
        scale = np.abs(expected)
    got = quantizer.scores(q, codes, metric, 2)
    assert (np.abs(got - expected) <= 1e-4 * scale).all()


def test_scores_do_not_depend_on_the_split(quantizer: _core.Quantizer) -> None:
    x, q = rows(333, seed=6), rows(5, seed=7)
    codes = quantizer.encode(x, 1)
    whole = quantizer.scores(q, codes, "l2", 1)
    parts = [quantizer.scores(q, part, "l2", 2) for part in np.split(codes, [1, 65, 200])]
    assert np.concatenate(parts, axis=1).tobytes() == whole.tobytes()
    one = np.concatenate([quantizer.scores(q[i : i + 1], codes, "l2", 1) for i in range(5)])
    assert one.tobytes() == whole.tobytes()


def test_any_bytes_are_a_code(quantizer: _core.Quantizer) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (200, quantizer.code_size), dtype=np.uint8)
    decoded = quantizer.decode(codes, 1)
    assert np.isfinite(decoded).all()
    assert np.isfinite(quantizer.scores(decoded[:2], codes, "ip", 1)).all()


def test_parameters_make_an_equal_quantizer(quantizer: _core.Quantizer) -> None:
    x = rows(200, seed=8)
    twin = _core.Quantizer(quantizer.name, DIM)
    twin.restore(quantizer.parameters())
    assert twin.is_trained
    assert twin.encode(x, 1).tobytes() == quantizer.encode(x, 1).tobytes()
    codes = quantizer.encode(x, 1)
    assert twin.decode(codes, 1).tobytes() == quantizer.decode(codes, 1).tobytes()
    pairs = zip(twin.parameters(), quantizer.parameters(), strict=True)
    for (name, values), (other, expected) in pairs:
        assert (name, values.tobytes()) == (other, expected.tobytes())


def test_wrong_parameters_change_nothing(quantizer: _core.Quantizer) -> None:
    right = quantizer.parameters()
    name, values = right[-1]
    spoiled = values.copy()
    spoiled.flat[0] = np.nan
    wrong: list[Any] = [
        right[:-1],
        [*right, right[-1]],
        [*right[:-1], ("nonsense", values)],
        [*right[:-1], (name, np.ascontiguousarray(values[:, :-1]))],
        [*right[:-1], (name, spoiled)],
    ]
    twin = _core.Quantizer(quantizer.name, DIM)
    for given in wrong:
        with pytest.raises(ValueError, match="parameter"):
            twin.restore(given)
        assert not twin.is_trained
    twin.restore(right)


@pytest.mark.parametrize("name", EVERY)
def test_threads_do_not_change_a_bit(name: str) -> None:
    x = rows(4200)
    states = [trained(name, x, threads) for threads in (1, 2)]
    results = [
        (s.encode(x, t).tobytes(), b"".join(v.tobytes() for _, v in s.parameters()))
        for s, t in itertools.product(states, (1, 2))
    ]
    assert len(set(results)) == 1


@pytest.mark.parametrize("name", [*NAMES, "pq6x5", "pq3x10"])
def test_levels_do_not_change_a_bit(name: str, levels: list[Level]) -> None:
    x, q = rows(1100), rows(3, seed=1)
    first = levels[0].call("property.quantizing:everything", name, x, q)
    for level in levels[1:]:
        same = level.call("property.quantizing:everything", name, x, q)
        assert [part for part in first if first[part] != same[part]] == [], level.name


@pytest.mark.parametrize("bits", [8, 4])
def test_scalar_codes_equal_the_oracle(bits: int) -> None:
    x = rows(900)
    sq = nf.quant.ScalarQuantizer(bits).train(x[:600])
    low, high = sq.parameters()["low"][0], sq.parameters()["high"][0]
    np.testing.assert_array_equal(low, x[:600].min(axis=0))
    np.testing.assert_array_equal(high, x[:600].max(axis=0))
    got = oracle.unpack(sq.encode(x), DIM, bits)
    expected = oracle.scalar_encode(x, low, high, bits)
    # A value within rounding of a cell's edge may fall on either side of it.
    assert np.abs(got - expected).max() <= 1
    assert (got == expected).mean() > 0.999
    middles = oracle.scalar_decode(got, low, high, bits)
    np.testing.assert_allclose(sq.decode(sq.encode(x)), middles, rtol=1e-5, atol=1e-5)
    inside = np.abs(sq.decode(sq.encode(x[:600])) - x[:600])
    cells = oracle.scalar_cells(low, high, bits)
    assert (inside <= cells / 2 + 1e-6 * np.abs(x).max()).all()


def test_constant_dimensions_come_back_exactly() -> None:
    x = rows(50)
    x[:, 3] = 1.2345
    for bits in (8, 4):
        sq = nf.quant.ScalarQuantizer(bits).train(x)
        assert (sq.decode(sq.encode(x + 1))[:, 3] == np.float32(1.2345)).all()


@pytest.mark.parametrize("nbits", [4, 5, 6, 7, 8, 9, 10, 11, 12])
def test_product_codes_equal_the_oracle(nbits: int) -> None:
    x = rows(4200)
    pq = nf.quant.ProductQuantizer(m=M, nbits=nbits).train(x)
    assert pq.codebooks.shape == (M, 2**nbits, DIM // M)
    sample = x[:150]
    codes = pq.encode(sample)
    numbers = oracle.unpack(codes, M, nbits)
    assert (oracle.pack(numbers, nbits) == codes).all()
    distances = oracle.product_distances(sample, pq.codebooks)
    chosen = np.take_along_axis(distances, numbers[:, :, None], axis=2)[:, :, 0]
    scale = 1 + np.square(sample).max()
    assert (chosen <= distances.min(axis=2) + 1e-5 * scale).all()
    np.testing.assert_array_equal(pq.decode(codes), oracle.product_decode(numbers, pq.codebooks))
    for metric in ("ip", "l2"):
        expected = oracle.product_scores(sample[:4], numbers, pq.codebooks, metric)
        got = pq.scores(sample[:4], codes, metric)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_opq_is_a_product_quantizer_of_rotated_rows() -> None:
    x = rows(3000)
    opq = nf.quant.OPQ(m=M, nbits=4).train(x)
    rotation = opq.rotation.astype(np.float64)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(DIM), atol=1e-5)
    numbers = oracle.unpack(opq.encode(x), M, 4)
    rotated = x @ rotation.T
    distances = oracle.product_distances(rotated, opq.codebooks)
    chosen = np.take_along_axis(distances, numbers[:, :, None], axis=2)[:, :, 0]
    assert (chosen <= distances.min(axis=2) + 1e-4).all()
    back = oracle.product_decode(numbers, opq.codebooks) @ rotation
    np.testing.assert_allclose(opq.decode(opq.encode(x)), back, atol=1e-4)


def test_opq_helps_correlated_rows() -> None:
    x = rows(3000)
    errors = []
    for kind in (nf.quant.ProductQuantizer, nf.quant.OPQ):
        quantizer = kind(M, nbits=4).train(x)
        errors.append(((quantizer.decode(quantizer.encode(x)) - x) ** 2).sum())
    assert errors[1] < 0.8 * errors[0]


@pytest.mark.parametrize("name", ["opq6x4", "pq6x4", "sq8", "sq4"])
@pytest.mark.parametrize("kind", ["zero", "constant", "one direction", "twins", "huge", "tiny"])
def test_degenerate_rows_can_be_trained_on(name: str, kind: str) -> None:
    rng = np.random.default_rng(0)
    x = {
        "zero": np.zeros((300, DIM)),
        "constant": np.full((300, DIM), 7.25),
        "one direction": rng.standard_normal((300, 1)) @ rng.standard_normal((1, DIM)),
        "twins": rng.standard_normal((4, DIM))[rng.integers(0, 4, 300)],
        "huge": rng.standard_normal((300, DIM)) * 1e15,
        "tiny": rng.standard_normal((300, DIM)) * 1e-15,
    }[kind].astype(np.float32)
    quantizer = trained(name, x)
    decoded = quantizer.decode(quantizer.encode(x, 1), 1)
    assert np.isfinite(decoded).all()
    largest = np.abs(x).max()
    error = np.abs(decoded - x).max()
    # With fewer points than centroids, k-means leaves some centroids close beside others.
    few_points = kind in ("zero", "constant") or (kind == "twins" and not name.startswith("sq"))
    assert error <= (1e-3 if few_points else 4) * largest


class TestArguments:
    def test_use_before_training(self) -> None:
        for quantizer in (
            nf.quant.ScalarQuantizer(),
            nf.quant.ProductQuantizer(4),
            nf.quant.OPQ(4),
        ):
            assert not quantizer.is_trained
            for use in (
                lambda q=quantizer: q.encode(rows(3)),
                lambda q=quantizer: q.decode(np.zeros((1, 4), np.uint8)),
                lambda q=quantizer: q.scores(rows(1), np.zeros((1, 4), np.uint8)),
                lambda q=quantizer: q.code_size,
                lambda q=quantizer: q.parameters(),
            ):
                with pytest.raises(nf.NotTrainedError, match=r"not trained; call train\(x\) first"):
                    use()
        core = _core.Quantizer("pq6x4", DIM)
        with pytest.raises(nf.NotTrainedError, match="call train"):
            core.encode(rows(3), 1)

    def test_training_twice(self) -> None:
        sq = nf.quant.ScalarQuantizer().train(rows(10))
        with pytest.raises(ValueError, match="trained already"):
            sq.train(rows(10))

    def test_too_few_rows(self) -> None:
        pq = nf.quant.ProductQuantizer(m=6, nbits=8)
        with pytest.raises(ValueError, match=r"x: got 100 rows to train on, expected at least 256"):
            pq.train(rows(100))
        assert not pq.is_trained
        pq.train(rows(300))
        with pytest.raises(ValueError, match="got 0 rows"):
            nf.quant.ScalarQuantizer().train(rows(3)[:0])

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, bad: float) -> None:
        x = rows(300)
        spoiled = x.copy()
        spoiled[217, 5] = bad
        for make in (nf.quant.ScalarQuantizer, lambda: nf.quant.OPQ(6, 4)):
            quantizer = make()
            with pytest.raises(ValueError, match="x: row 217 holds NaN or infinity"):
                quantizer.train(spoiled)
            quantizer.train(x)
            with pytest.raises(ValueError, match="x: row 217 holds NaN or infinity"):
                quantizer.encode(spoiled)
            with pytest.raises(ValueError, match="q: query 217 holds NaN or infinity"):
                quantizer.scores(spoiled, quantizer.encode(x))

    def test_wrong_shapes_and_types(self) -> None:
        sq = nf.quant.ScalarQuantizer().train(rows(10))
        codes = sq.encode(rows(10))
        with pytest.raises(ValueError, match=r"x: got shape \(10, 23\)"):
            sq.encode(rows(10)[:, :23])
        with pytest.raises(ValueError, match=r"codes: got shape \(10, 23\), expected \(n, 24\)"):
            sq.decode(codes[:, :23])
        with pytest.raises(ValueError, match=r"codes: got shape \(24,\), expected \(n, 24\)"):
            sq.decode(codes[0])
        with pytest.raises(TypeError, match="codes: got int64, expected uint8"):
            sq.decode(codes.astype(np.int64))
        with pytest.raises(TypeError, match="codes: got None"):
            sq.decode(None)
        with pytest.raises(ValueError, match="metric: got 'cosine', expected one of 'l2', 'ip'"):
            sq.scores(rows(1), codes, "cosine")
        with pytest.raises(ValueError, match="q: got shape"):
            sq.scores(rows(1)[:, :5], codes)

    def test_wrong_sizes(self) -> None:
        for bits in (0, 5, 16):
            with pytest.raises(ValueError, match="bits: got"):
                nf.quant.ScalarQuantizer(bits)
        with pytest.raises(TypeError, match="bits: got"):
            nf.quant.ScalarQuantizer("8")
        with pytest.raises(ValueError, match="nbits: got 13, expected 4 to 12"):
            nf.quant.ProductQuantizer(4, 13)
        with pytest.raises(ValueError, match=r"m: got 5 for dim 24.*try m = 4 or 6"):
            nf.quant.ProductQuantizer(5).train(rows(300))
        with pytest.raises(ValueError, match="range that float32 holds"):
            nf.quant.ScalarQuantizer().train(np.float32([[3e38], [-3e38]]))

    def test_rotation_must_be_one(self) -> None:
        opq = trained("opq6x4", rows(300))
        (name, rotation), books = opq.parameters()
        twin = _core.Quantizer("opq6x4", DIM)
        with pytest.raises(ValueError, match="expected orthonormal rows"):
            twin.restore([(name, rotation * np.float32(1.1)), books])
        assert not twin.is_trained

    def test_any_layout_and_type(self) -> None:
        x = rows(40)
        sq = nf.quant.ScalarQuantizer().train(x.astype(np.float64))
        expected = sq.encode(x)
        assert (sq.encode(np.asfortranarray(x)) == expected).all()
        assert (sq.encode(np.repeat(x, 2, axis=0)[::2]) == expected).all()
        assert (sq.decode(np.asfortranarray(expected)) == sq.decode(expected)).all()
        one = sq.scores(x[0], expected)
        assert one.shape == (40,)
        assert (one == sq.scores(x[:1], expected)[0]).all()
