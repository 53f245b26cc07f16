"""What callers also bring: empty or read-only arrays, odd shapes and types, streams long gone."""

from __future__ import annotations

import ctypes
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from cuda.python.test_absence import run
from cuda.standin import DlpackArray, InterfaceArray, Standin, contents

ROWS = np.float32([[0, 0], [3, 4], [1, 1], [9, 9]])
QUERY = np.float32([[1, 0]])
IDS = [[0, 2, 1]]
KINDS = pytest.mark.parametrize("kind", [DlpackArray, InterfaceArray])


class Immutable(DlpackArray):
    """As JAX's arrays: its memory must stay as it is, and its capsules are of DLPack 1."""

    __module__ = "jaxlib._jax"

    def __dlpack__(self, *, stream: int | None = None, max_version: Any = None) -> Any:
        assert isinstance(stream, int), "JAX takes the number of a stream"
        return super().__dlpack__(stream=stream)

    def held(self) -> np.ndarray:
        out = np.empty_like(self.array)
        ctypes.memmove(out.ctypes.data, self.address, out.nbytes)
        return out


@pytest.fixture
def jax(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let JAX be imported, but not its dlpack module, which `import jax` need not bring."""
    module, dlpack = ModuleType("jax"), ModuleType("jax.dlpack")
    dlpack.__dict__["from_dlpack"] = lambda array: SimpleNamespace(
        on=array.__dlpack_device__(), own=array
    )
    module.__path__ = []
    monkeypatch.setitem(sys.modules, "jax", module)
    monkeypatch.setitem(sys.modules, "jax.dlpack", dlpack)


def test_jax_arrays_stay_as_they_are(jax: None, standin: Standin) -> None:
    q, rows = Immutable(standin, QUERY), Immutable(standin, ROWS)
    found = nf.topk(q, rows, k=3)
    assert {part.on for part in found} == {(2, 0)}
    assert contents(found.ids.own, standin).tolist() == IDS
    np.testing.assert_array_equal(rows.held(), ROWS)
    np.testing.assert_array_equal(q.held(), QUERY)
    places = {part.own._address for part in found}
    assert len(places) == 3
    assert not places & {q.address, rows.address}


def test_jax_on_the_second_device(jax: None, standin: Standin) -> None:
    q, rows = (Immutable(standin, part, device=1) for part in (QUERY, ROWS))
    assert {part.on for part in nf.topk(q, rows, k=3)} == {(2, 1)}


def test_read_only_interfaces(standin: Standin) -> None:
    q, rows = InterfaceArray(standin, QUERY), InterfaceArray(standin, ROWS)
    q.extra = {"data": (q.address, True)}
    rows.extra = {"data": (rows.address, True)}
    assert contents(nf.topk(q, rows, k=3).ids, standin).tolist() == IDS


@KINDS
@pytest.mark.parametrize("device", [0, 1])
def test_nothing_in_arrays(standin: Standin, kind: type, device: int) -> None:
    """No rows, then no queries; empty arrays may have no address, so no device either."""
    none, q, rows = (
        kind(standin, part, device=device) for part in (np.zeros((0, 2), np.float32), QUERY, ROWS)
    )
    if kind is InterfaceArray:
        none.extra = {"data": (0, False)}
    found = nf.topk(q, none, k=2)
    assert contents(found.ids, standin).tolist() == [[nf.MISSING] * 2]
    assert contents(found.counts, standin).tolist() == [0]
    if kind is DlpackArray or device == 0:
        assert contents(nf.topk(none, rows, k=2).ids, standin).shape == (0, 2)


@KINDS
def test_an_index_takes_empty_and_single_queries(standin: Standin, kind: type) -> None:
    index = nf.FlatIndex(2, "l2")
    index.add(ROWS)
    there = index.to("cuda:1")
    none = kind(standin, np.zeros((0, 2), np.float32), device=1)
    if kind is InterfaceArray:
        none.extra = {"data": (0, False)}
    assert contents(there.search(none, k=3).ids, standin).shape == (0, 3)
    one = there.search(kind(standin, QUERY[0], device=1), k=3)
    assert contents(one.ids, standin).tolist() == IDS[0]
    assert contents(one.counts, standin) == 3
    with pytest.raises(ValueError, match="q: got an array on cuda:0, expected one on cuda:1"):
        there.search(kind(standin, QUERY), k=3)


@KINDS
def test_shapes_and_strides_that_are_not_taken(standin: Standin, kind: type) -> None:
    q, rows = kind(standin, QUERY), kind(standin, ROWS)
    with pytest.raises(ValueError, match=r"queries: got shape \(\), expected"):
        nf.topk(kind(standin, np.float32(1)), rows)
    with pytest.raises(ValueError, match=r"queries: got strides .*contiguous"):
        nf.topk(kind(standin, np.zeros(4, np.float32)[::2]), rows)
    with pytest.raises(ValueError, match=r"corpus: got strides \(0, 1\).*contiguous"):
        nf.topk(q, kind(standin, np.broadcast_to(QUERY, (3, 2))))
    with pytest.raises(ValueError, match=r"queries: got shape \(3,\), expected \(n, 2\)"):
        nf.topk(kind(standin, np.zeros(3, np.float32)), rows)


class Typed(DlpackArray):
    """With another type code than its memory has."""

    described = (0, 0, 1)

    def __dlpack__(self, **how: Any) -> Any:
        capsule = super().__dlpack__(**how)
        get = ctypes.pythonapi.PyCapsule_GetPointer
        get.restype, get.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
        fields = (ctypes.c_char * 4).from_address(get(capsule, b"dltensor") + 20)
        code, bits, lanes = self.described
        fields[:] = bytes([code, bits]) + lanes.to_bytes(2, "little")
        return capsule


@pytest.mark.parametrize(
    "described", [(5, 64, 1), (2, 32, 4), (2, 64, 1), (8, 8, 1), (10, 8, 1), (3, 64, 1), (99, 7, 1)]
)
def test_types_of_dlpack_that_are_not_taken(
    standin: Standin, described: tuple[int, int, int]
) -> None:
    rows = Typed(standin, ROWS)
    rows.described = described
    with pytest.raises(TypeError, match="corpus: got "):
        nf.topk(DlpackArray(standin, QUERY), rows)


def test_a_producers_stream_that_is_gone(standin: Standin) -> None:
    gone = standin.stream()
    rows = InterfaceArray(standin, ROWS)
    rows.stream = gone
    standin.destroy(gone)
    with pytest.raises(nf.DeviceError, match="does not exist"):
        nf.topk(InterfaceArray(standin, QUERY), rows)


def test_streams_of_an_index_that_are_gone(standin: Standin) -> None:
    index = nf.FlatIndex(2, "l2")
    index.add(ROWS)
    there = index.to("cuda")
    gone = standin.stream()
    standin.destroy(gone)
    q = DlpackArray(standin, QUERY)
    with pytest.raises(nf.DeviceError, match="does not exist"):
        there.search(q, k=3, stream=gone)
    assert contents(there.search(q, k=3).ids, standin).tolist() == IDS
    assert index.search(QUERY, k=3).ids.tolist() == IDS


def test_a_fork_with_arrays_of_the_device(standin_path: Any) -> None:
    """The child cannot use them, says so, drops them without a crash, and searches on the CPU."""
    script = """
import os, numpy as np, nearfield as nf
there = nf.FlatIndex(2).to("cuda")
there.add(np.eye(2))
native = nf._core.cuda
rows = native.DeviceArray((2, 2), "float32", 0, 1)
native.upload(rows, np.eye(2, dtype=np.float32).reshape(-1), 0)
found = nf.topk(rows, rows, k=1)
child = os.fork()
if child == 0:
    for name, call in {
        "topk": lambda: nf.topk(rows, rows, k=1),
        "numpy": lambda: found.ids.numpy(),
        "to": lambda: nf.FlatIndex(2).to("cuda").search(np.eye(2), k=1),
    }.items():
        try:
            call()
            print(name, "went on")
        except nf.DeviceError as error:
            print(name, error, flush=True)
    here = nf.topk(np.eye(2), np.eye(2), k=1).ids.tolist()
    del rows, found, there
    os._exit(0 if here == [[0], [1]] else 1)
assert os.waitpid(child, 0)[1] == 0
print(found.ids.numpy().tolist(), nf.topk(rows, rows, k=1).ids.numpy().tolist())
"""
    text = run(script, standin_path)
    assert "went on" not in text
    assert text.count("forked after CUDA had started") == 3
    assert text.endswith("[[0], [1]] [[0], [1]]\n")
