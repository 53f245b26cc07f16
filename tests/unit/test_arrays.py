"""The door for arrays: what is taken, what is converted and how, what is refused and why."""

from __future__ import annotations

import array
import datetime
import fractions
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from nearfield.arrays import STORAGES, as_labels, as_queries, as_rows

X = np.array([[1.0, 2.5, -3.0], [0.0, 7.0, 0.5]])
BF16 = np.dtype(ml_dtypes.bfloat16)


def rows(obj: Any, **kwargs: Any) -> tuple[np.ndarray, str]:
    return as_rows(obj, name="x", **kwargs)


@pytest.mark.parametrize("name", ["float32", "float16", "int8", "uint8"])
def test_same_type_is_passed_on_without_a_copy(name: str) -> None:
    x = np.ones((4, 3), name)
    out, dtype = rows(x)
    assert out is x or np.shares_memory(out, x)
    assert dtype == name


def test_bfloat16_travels_as_uint16_without_a_copy() -> None:
    x = X.astype(BF16)
    out, dtype = rows(x)
    assert (out.dtype, dtype) == (np.uint16, "bfloat16")
    assert np.shares_memory(out, x)


def test_float64_becomes_float32() -> None:
    out, dtype = rows(X)
    assert (out.dtype, dtype) == (np.float32, "float32")
    np.testing.assert_array_equal(out, X)


@pytest.mark.parametrize("source", ["float32", "float16", "bfloat16", "int8", "uint8"])
def test_widening_to_float32_is_exact(source: str) -> None:
    bits = np.arange(65536 if "16" in source else 256)
    if source == "float32":
        x = np.linspace(-9, 9, 256, dtype=np.float32)[:, None]
    elif source == "bfloat16":
        x = bits.astype(np.uint16).view(BF16)[:, None]
    else:
        x = bits.astype(f"uint{8 * np.dtype(source).itemsize}").view(source)[:, None]
    x = np.ascontiguousarray(x[np.isfinite(x.astype(np.float32)).ravel()])
    out, _ = rows(x, storage="float32")
    assert out.tobytes() == x.astype(np.float32).tobytes()
    queries, one = as_queries(x, name="q", dim=1)
    assert not one
    assert queries.tobytes() == out.tobytes()


def nearest_bfloat16(value: float) -> int:
    """Return the bits of the nearest bfloat16, ties to even, by search over all of them."""
    bits = np.arange(0x8000, dtype=np.uint16)
    finite = bits[(bits & 0x7F80) != 0x7F80]
    numbers = [fractions.Fraction(float(v)) for v in finite.view(BF16)]
    target = abs(fractions.Fraction(value))
    gap, _, found = min(
        (abs(n - target), int(b) & 1, int(b)) for n, b in zip(numbers, finite, strict=True)
    )
    assert gap >= 0
    return found | (0x8000 if np.signbit(value) else 0)


def test_rounding_float64_to_bfloat16_is_one_rounding() -> None:
    half = 1 + 2.0**-8  # between two bfloat16 numbers
    values = [half, half + 2.0**-40, half - 2.0**-40, -half - 2.0**-50, 1 + 3 * 2.0**-8, 2.0**-149]
    values += [2.0**-135, 3.0e38, -1e-45, 0.0, -0.0, np.pi]
    out, dtype = rows(np.array([values]), storage="bfloat16")
    assert dtype == "bfloat16"
    assert out[0].tolist() == [nearest_bfloat16(value) for value in values]


def test_rounding_to_16_bits_agrees_with_the_types_own() -> None:
    x = np.random.default_rng(0).standard_normal((300, 7)).astype(np.float32) * 100
    assert rows(x, storage="bfloat16")[0].tobytes() == x.astype(BF16).tobytes()
    assert rows(x, storage="float16")[0].tobytes() == x.astype(np.float16).tobytes()
    halves = x.astype(np.float16)
    assert rows(halves, storage="bfloat16")[0].tobytes() == halves.astype(BF16).tobytes()
    small = np.arange(-128, 128).astype(np.int8).reshape(-1, 4)
    for storage, dtype in (("float16", np.float16), ("bfloat16", BF16)):
        assert rows(small, storage=storage)[0].tobytes() == small.astype(dtype).tobytes()


@pytest.mark.parametrize(
    ("storage", "value"), [("float32", 1e39), ("float16", 65520.0), ("bfloat16", 3.4e38)]
)
def test_overflow_names_the_first_row(storage: str, value: float) -> None:
    x = np.zeros((400_000, 4))
    x[300_001, 2] = -value
    x[399_999, 0] = value
    with pytest.raises(ValueError, match=rf"^x: row 300001 holds -.*overflows {storage}"):
        rows(x, storage=storage)


def test_infinities_are_left_to_the_core() -> None:
    x = np.array([[np.inf, -np.inf, np.nan]])
    for storage in ("float32", "float16", "bfloat16"):
        out, _ = rows(x, storage=storage)
        wide = out.view(BF16).astype(float) if storage == "bfloat16" else out
        assert wide[0, 0] == np.inf
        assert wide[0, 1] == -np.inf
        assert np.isnan(wide[0, 2])


REFUSED = [
    (np.ones((2, 3), bool), "bool", r"astype\('float32'\)"),
    (np.ones((2, 3), np.int16), "int16", r"astype\('float32'\)"),
    (np.ones((2, 3), np.uint16), "uint16", "bfloat16"),
    (np.ones((2, 3), np.int32), "int32", r"astype\('float32'\)"),
    (np.ones((2, 3), np.int64), "int64", r"astype\('float32'\)"),
    (np.ones((2, 3), np.uint64), "uint64", r"astype\('float32'\)"),
    (np.ones((2, 3), np.longdouble), np.dtype(np.longdouble).name, r"astype\('float32'\)"),
    (np.ones((2, 3), np.complex64), "complex64", "x.real"),
    (np.ones((2, 3), object), "object", "np.stack"),
    (np.array([["a", "b"]]), "str", "np.asarray"),
    (np.array([[b"a"]]), "bytes", "np.asarray"),
    (np.zeros((2, 2), "M8[s]"), "datetime64", "int64"),
    (np.zeros((2, 2), "m8[s]"), "timedelta64", "int64"),
    (np.zeros((2, 2), [("a", "f4"), ("b", "f4")]), "structured", "structured_to_unstructured"),
    (np.ones((2, 3), ml_dtypes.float8_e4m3fn), "float8_e4m3fn", r"astype\('float32'\)"),
    (np.ma.masked_array(np.ones((2, 3)), mask=False), "masked", "filled"),
    ([["a", "b"]], "str", "np.asarray"),
    ([[True, False]], "bool", r"astype\('float32'\)"),
    ([[1j]], "complex", "x.real"),
    ([[None]], "object", "np.asarray"),
    ([[datetime.date.today()]], "object", "np.asarray"),
    (None, "None", "expected an array"),
    ("text", "str", "expected an array"),
    (b"bytes", "bytes", "expected an array"),
    (3.0, "float", "expected an array"),
    ({"a": 1}, "dict", "expected an array"),
    ({1.0}, "set", "expected an array"),
    (iter([1.0]), "iterator", "expected an array"),
    (object(), "object", "expected an array"),
]


@pytest.mark.parametrize(("obj", "got", "fix"), REFUSED, ids=[str(r[1]) for r in REFUSED])
@pytest.mark.parametrize("storage", [None, *STORAGES])
def test_refusals_say_what_was_got_and_what_to_do(
    obj: Any, got: str, fix: str, storage: str | None
) -> None:
    with pytest.raises(TypeError, match=rf"(?s)^x: got .*{got}.*{fix}"):
        rows(obj, storage=storage)


def test_integer_storage_takes_only_its_own_type() -> None:
    for storage in ("int8", "uint8"):
        for source in ("float32", "float64", "float16", "int8", "uint8"):
            x = np.ones((2, 3), source)
            if source == storage:
                assert rows(x, storage=storage)[1] == storage
                continue
            with pytest.raises(TypeError, match=rf"x: got {source}, expected {storage}.*asarray"):
                rows(x, storage=storage)
        with pytest.raises(TypeError, match=f"dtype='{storage}'"):
            rows([[1, 2]], storage=storage)


def test_shapes() -> None:
    for bad in (np.ones(3), np.ones((1, 2, 3)), np.float32(1), np.ones((2, 0)), np.ones((0,))):
        with pytest.raises(ValueError, match=r"x: got shape \(.*\), expected \(n, dim\)"):
            rows(bad)
    with pytest.raises(ValueError, match=r"expected \(n, 4\)"):
        rows(X, dim=4)
    with pytest.raises(ValueError, match=r"x\.reshape\(1, -1\)"):
        rows(np.ones(4), dim=4)
    with pytest.raises(ValueError, match="transposed"):
        rows(np.ones((4, 9)), dim=4)
    assert rows(np.empty((0, 3), np.float32))[0].shape == (0, 3)
    assert rows([], dim=3, storage="int8")[0].shape == (0, 3)


def test_queries_of_one_vector() -> None:
    q, one = as_queries([1.0, 2.0, 3.0], name="q", dim=3)
    assert one
    assert q.shape == (1, 3)
    for bad in (np.ones(4), np.ones((2, 4)), np.ones((1, 1, 3)), np.float32(1)):
        with pytest.raises(ValueError, match=r"^q: got shape .*3"):
            as_queries(bad, name="q", dim=3)
    assert as_queries([], name="q", dim=3)[0].shape == (0, 3)
    assert as_queries(np.empty((0, 3)), name="q", dim=3)[0].shape == (0, 3)


def test_lists() -> None:
    np.testing.assert_array_equal(rows([[1, 2.5], [3, 4]])[0], [[1, 2.5], [3, 4]])
    assert rows([[1.0, 2.0]])[1] == "float32"
    assert rows(((1.0,), (2.0,)))[0].shape == (2, 1)
    assert rows([np.int8([1, 2]), np.int8([3, 4])])[1] == "int8"
    assert rows([X[0].astype(BF16), X[1].astype(BF16)])[1] == "bfloat16"
    np.testing.assert_array_equal(rows([[1, 2], [3, 2**24]])[0], [[1, 2], [3, 2**24]])
    with pytest.raises(ValueError, match=r"x: .*16777217.*float32"):
        rows([[1, 2**24 + 1]])
    with pytest.raises(ValueError, match="same length"):
        rows([[1.0, 2.0], [3.0]])
    with pytest.raises(ValueError, match="same length"):
        rows([np.ones(2), np.ones(3)])
    with pytest.raises(TypeError, match="one dtype"):
        rows([np.ones(2, np.int8), np.ones(2, np.uint8)])


def test_objects_with_protocols() -> None:
    flat = array.array("f", [1, 2, 3, 4, 5, 6])
    np.testing.assert_array_equal(
        rows(memoryview(flat).cast("B").cast("f", (2, 3)))[0][1], [4, 5, 6]
    )
    assert as_queries(flat, name="q", dim=6)[1]
    assert as_queries(bytearray(3), name="q", dim=3)[0].tolist() == [[0, 0, 0]]
    np.testing.assert_array_equal(rows(np.asmatrix(X))[0], X)


def test_memory_map(tmp_path: Any) -> None:
    np.save(tmp_path / "x.npy", X.astype(np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    out, _ = rows(mapped)
    assert np.shares_memory(out, mapped)
    np.testing.assert_array_equal(out, X)


def test_dlpack_on_an_accelerator_is_refused() -> None:
    class OnDevice:
        def __dlpack_device__(self) -> tuple[int, int]:
            return (2, 0)

        def __array__(self) -> np.ndarray:
            raise AssertionError("must not copy behind the user's back")

    with pytest.raises(TypeError, match=r"accelerator.*\.cpu\(\)"):
        rows(OnDevice())


FOREIGN = [
    (NotImplementedError("no host copy"), "NotImplementedError: no host copy"),
    (AttributeError("_data"), "AttributeError: _data"),
    (KeyError("shape"), "KeyError: 'shape'"),
    (IndexError(), "IndexError: no reason given"),
    (AssertionError("two\nlines"), "AssertionError: two lines"),
    (ZeroDivisionError("zero"), "ZeroDivisionError: zero"),
    (RecursionError("deep"), "RecursionError: deep"),
    (type("OwnError", (Exception,), {})("own"), "OwnError: own"),
    (TypeError("on the device"), "(on the device)"),
    (ValueError("lost"), "(lost)"),
    (BufferError("in use"), "BufferError: in use"),
]


def foreign(method: str, error: BaseException) -> Any:
    """Return an object whose conversion fails in one of the ways objects have."""

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    body: dict[str, Any] = {method: property(fail) if method == "property" else fail}
    if method == "property":
        body = {"__array__": property(fail)}
    if method == "__dlpack__":
        body["__dlpack_device__"] = lambda self: (1, 0)
    return type("Foreign", (), body)()


WAYS = [
    pytest.param(method, error, reason, id=f"{method} {reason}")
    for method in ("__array__", "property", "__dlpack__", "__dlpack_device__")
    for error, reason in FOREIGN
    # A property that raises AttributeError is, to Python, an attribute that is not there.
    if method != "property" or not isinstance(error, AttributeError)
]


@pytest.mark.parametrize(("method", "error", "reason"), WAYS)
def test_whatever_a_foreign_object_raises_is_one_clear_type_error(
    method: str, error: Exception, reason: str
) -> None:
    obj = foreign(method, error)
    for call in (
        lambda: rows(obj),
        lambda: as_queries(obj, name="x", dim=3),
        lambda: as_labels(obj, name="x"),
    ):
        with pytest.raises(TypeError, match=r"^x: got a Foreign, expected an array") as caught:
            call()
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)
        assert caught.value.__cause__ is error
    with pytest.raises(TypeError, match=r"^x\[0\]: got a Foreign"):
        rows([obj])
    if method == "__array__":
        with pytest.raises((TypeError, ValueError), match=r"^x: got a list"):
            rows([[obj]])


@pytest.mark.parametrize(
    "error", [MemoryError("full"), OSError(5, "disk"), KeyboardInterrupt()], ids=repr
)
def test_failures_of_the_machine_are_not_blamed_on_the_object(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        rows(foreign("__array__", error))
    assert caught.value is error


@pytest.mark.parametrize("device", [None, (), "cpu", ("cpu", 0)])
def test_an_answer_that_is_no_dlpack_device_is_a_type_error(device: Any) -> None:
    obj = type("Foreign", (), {"__dlpack_device__": lambda self: device})()
    with pytest.raises(TypeError, match=r"^x: got a Foreign, expected an array"):
        rows(obj)


def test_an_array_method_that_gives_no_array_is_a_type_error() -> None:
    for answer in (None, [[1.0]], "text"):
        obj = type("Foreign", (), {"__array__": lambda self, *a, answer=answer, **k: answer})()
        with pytest.raises(TypeError, match=r"^x: got a Foreign, expected an array"):
            rows(obj)


def test_torch() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(X)
    np.testing.assert_array_equal(rows(x)[0], X)
    single = x.float()
    assert np.shares_memory(rows(single)[0], single.numpy())
    half, name = rows(x.bfloat16())
    assert name == "bfloat16"
    assert half.tobytes() == X.astype(BF16).tobytes()
    np.testing.assert_array_equal(rows(x.bfloat16().T, storage="float32")[0], X.T)
    assert rows(list(x.bfloat16()))[1] == "bfloat16"
    assert rows(x.to(torch.int8))[1] == "int8"
    np.testing.assert_array_equal(rows(x.expand(2, 3)[:, ::2])[0], X[:, ::2])
    np.testing.assert_array_equal(rows(torch.complex(x, x).conj().imag)[0], -X)
    with pytest.raises(TypeError, match=r"\.detach\(\)"):
        rows(torch.nn.Parameter(x))
    with pytest.raises(TypeError, match=r"meta.*\.cpu\(\)"):
        rows(x.to("meta"))
    with pytest.raises(TypeError, match=r"\.to_dense\(\)"):
        rows(x.to_sparse())
    with pytest.raises(TypeError, match="got an array of int64"):
        rows(x.long())
    with pytest.raises(TypeError, match=r"torch\.float32"):
        rows(x.to(torch.float8_e4m3fn))


def test_pandas_and_arrow() -> None:
    pandas = pytest.importorskip("pandas")
    np.testing.assert_array_equal(rows(pandas.DataFrame(X))[0], X)
    with pytest.raises(TypeError, match="object"):
        rows(pandas.DataFrame({"a": [1.0], "b": ["x"]}))
    pyarrow = pytest.importorskip("pyarrow")
    np.testing.assert_array_equal(
        as_queries(pyarrow.array([1.0, 2.0]), name="q", dim=2)[0], [[1, 2]]
    )
    with pytest.raises(TypeError, match=r"np.stack"):
        rows(pyarrow.array([[1.0, 2.0]], pyarrow.list_(pyarrow.float64(), 2)))


def test_jax() -> None:
    jnp = pytest.importorskip("jax.numpy")
    np.testing.assert_array_equal(rows(jnp.asarray(X, jnp.float32))[0], X)
    half, name = rows(jnp.asarray(X, jnp.bfloat16))
    assert name == "bfloat16"
    assert half.tobytes() == X.astype(BF16).tobytes()


@pytest.mark.parametrize("dtype", ["int8", "uint8", ">i2", "int32", "uint32", "int64", "uint64"])
def test_labels_of_every_integer_type(dtype: str) -> None:
    out = as_labels(np.array([3, 1, 2], dtype)[::-1], name="ids")
    assert out.dtype == np.int64
    assert out.tolist() == [2, 1, 3]


def test_labels_at_the_edges() -> None:
    assert as_labels([2**63 - 1, -5], name="ids").tolist() == [2**63 - 1, -5]
    assert as_labels([], name="ids").shape == (0,)
    assert as_labels(7, name="ids").tolist() == [7]
    assert as_labels(range(3), name="ids").tolist() == [0, 1, 2]
    assert sorted(as_labels({4, 9}, name="ids").tolist()) == [4, 9]
    for too_big in ([2**63], [1, 2**63], np.array([2**63], np.uint64), [2**70], [-(2**63) - 1]):
        with pytest.raises(ValueError, match=r"ids: got -?[0-9]+, .*(int64|fit)"):
            as_labels(too_big, name="ids")
    for bad in ([1.0], np.ones(2), ["a"], [True], np.ones(2, bool), None, "7", [None], [1, "a"]):
        with pytest.raises(TypeError, match=r"^ids: got .*"):
            as_labels(bad, name="ids")
    with pytest.raises(ValueError, match=r"got shape \(2, 1\), expected \(n,\)"):
        as_labels([[1], [2]], name="ids")
    with pytest.raises(ValueError, match=r"got shape \(2,\), expected \(3,\), one label per row"):
        as_labels([1, 2], name="ids", length=3)
