"""Arrays that their caller frees before the device has read them: kept, seen if not, let go."""

from __future__ import annotations

import ctypes
import gc
import sys
import weakref
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from cuda.standin import DlpackArray, InterfaceArray, Produced, Standin, contents, open_exports
from nearfield.cuda import arrays, holding

ROWS = np.float32([[0, 0], [3, 4], [1, 1], [9, 9]])
QUERY = np.float32([[1, 0]])
IDS = [[0, 2, 1]]


class _Pooled(Produced):
    """Its memory is given to somebody else as soon as it is freed, who writes into it at once."""

    def __del__(self) -> None:
        ctypes.memset(self.address, 0xFF, self.nbytes)
        super().__del__()


class Tensor(_Pooled, DlpackArray):
    """By DLPack, of a library that is not known."""


class Interface(_Pooled, InterfaceArray):
    """By ``__cuda_array_interface__``."""


KINDS = pytest.mark.parametrize("kind", [Tensor, Interface])


def topk(kind: type, standin: Standin, **how: Any) -> Any:
    """Search, and free queries and rows before anything has run."""
    found = nf.topk(kind(standin, QUERY), kind(standin, ROWS), k=3, **how)
    gc.collect()
    return found


@pytest.fixture(autouse=True)
def nothing_held(standin: Standin) -> None:
    standin.finish()
    standin.finish(1)
    holding.let_go()
    assert holding.held() == 0


@KINDS
@pytest.mark.parametrize("side", [False, True])
def test_a_search_reads_what_is_freed(standin: Standin, kind: type, side: bool) -> None:
    found = topk(kind, standin, stream=standin.stream() if side else None)
    assert contents(found.ids, standin).tolist() == IDS


@KINDS
def test_without_it_the_wrong_rows_are_read(
    standin: Standin, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "taken", lambda *_: None)
    found = topk(kind, standin)
    assert contents(found.counts, standin).tolist() == [0]  # what was written there is NaN


@KINDS
def test_later_calls_let_go_and_nothing_waits(standin: Standin, kind: type) -> None:
    exports, blocks = open_exports(), standin.live_blocks
    rows = kind(standin, ROWS)
    gone = weakref.ref(rows)
    first = nf.topk(kind(standin, QUERY), rows, k=3)
    del rows
    waits = ("cuStreamSynchronize", "cuEventSynchronize")
    before, ran = [standin.calls(name) for name in waits], standin.launches
    second = topk(kind, standin)
    assert gone() is not None, "its search has not run yet"
    assert holding.held() == 2
    assert ([standin.calls(name) for name in waits], standin.launches) == (before, ran)
    standin.finish()
    holding.let_go()
    assert (holding.held(), gone(), open_exports()) == (0, None, exports)
    assert contents(first.ids, standin).tolist() == contents(second.ids, standin).tolist() == IDS
    del first, second
    standin.finish()
    assert standin.live_blocks == blocks


def everything_else(standin: Standin) -> dict[str, Callable[[], Any]]:
    """Return calls that take arrays and free them at once, and give one result."""
    put = lambda array: Tensor(standin, array)  # noqa: E731
    rng = np.random.default_rng(3)
    wide = rng.standard_normal((40, 4), dtype=np.float32)
    flat = nf.FlatIndex(4)
    flat.add(wide)
    lists = nf.IVFIndex(4, 3)
    lists.train(wide)
    lists.add(wide)
    graph = nf.HNSWIndex(4, 4)
    graph.add(wide)
    pairs = [flat, lists, graph]
    there = [index.to("cuda") for index in pairs]
    pq = nf.quant.ProductQuantizer(m=2, nbits=4).train(wide)
    clusters = nf.KMeans(3).fit(wide)
    low = [
        nf.transforms.LowRank(rng.standard_normal((2, 4)), rng.standard_normal((4, 2)))
        for _ in range(2)
    ]
    q, ids, mask = wide[:3] + np.float32(0.1), np.arange(3) % 2, np.arange(40) % 2 == 0
    calls: dict[str, Callable[[], Any]] = {
        "transform": lambda: low[0](put(q)),
        "transforms": lambda: nf.transforms.apply(put(q), low, transform_ids=put(ids)),
        "encode": lambda: pq.encode(put(q)),
        "decode": lambda: pq.decode(put(pq.encode(q))),
        "predict": lambda: clusters.predict(put(q)),
        "filter": lambda: nf.topk(put(q), put(wide), k=3, filter=put(mask)).ids,
        "mapped": lambda: there[0].search(put(q), k=3, transform=low, transform_ids=put(ids)).ids,
    }
    for index in there:
        name = type(index).__name__
        calls[name] = lambda index=index: index.search(put(q), k=3).ids
        calls[f"{name}, filter"] = lambda index=index: (
            index.search(put(q), k=3, filter=put(mask)).ids
        )
    return calls


def test_every_call_keeps_what_it_reads(standin: Standin) -> None:
    for name, call in everything_else(standin).items():
        waited = call()
        standin.finish()
        wanted = contents(waited, standin)
        freed = call()
        gc.collect()
        assert holding.held() >= 1, name
        np.testing.assert_array_equal(contents(freed, standin), wanted, err_msg=name)
        assert len(wanted), name


def test_a_filter_there_of_queries_here(standin: Standin) -> None:
    index = nf.FlatIndex(2)
    index.add(ROWS)
    there = index.to("cuda")
    found = there.search(QUERY, k=1, filter=Tensor(standin, np.bool_([0, 0, 0, 1])))
    assert found.ids.tolist() == [[3]]


def test_arrays_of_ones_own(standin: Standin) -> None:
    """Freed in the order of their stream: kept where the search is on another one."""
    own = nf.transforms.LowRank(np.zeros((1, 2)), np.zeros((2, 1)))(DlpackArray(standin, ROWS))
    standin.finish()
    holding.let_go()
    nf.topk(own, own, k=1)
    assert holding.held() == 0
    nf.topk(own, own, k=1, stream=standin.stream())
    assert holding.held() == 1


def test_cupy_and_jax(standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy's arrays are freed in the order of the current stream; JAX's streams are its own."""
    from nearfield.cuda import owners

    now = SimpleNamespace(ptr=0)
    module = ModuleType("cupy")
    monkeypatch.setitem(sys.modules, "cupy", module)
    cupy = owners._Cupy()
    monkeypatch.setattr(type(cupy), "current_stream", lambda *_: now.ptr or 1)
    assert cupy.read_on(object(), 0, 1)
    assert not cupy.read_on(object(), 0, standin.stream())
    now.ptr = standin.stream()
    assert cupy.read_on(object(), 0, now.ptr)
    assert not cupy.read_on(object(), 0, 1)
    assert not owners._Jax().read_on(object(), 0, 1)


@pytest.mark.parametrize("nth", [1, 3])
def test_a_search_that_fails_halfway_keeps_them_too(
    standin: Standin, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    monkeypatch.setenv("STANDIN_FAILS", f"cuLaunchKernel=1@{nth}")
    with pytest.raises(nf.DeviceError):
        topk(Tensor, standin)
    monkeypatch.delenv("STANDIN_FAILS")
    assert holding.held() == 1
    standin.finish()
    found = topk(Tensor, standin)
    assert holding.held() == 1
    assert contents(found.ids, standin).tolist() == IDS


@pytest.mark.parametrize("function", ["cuEventCreate", "cuEventRecord"])
def test_an_event_that_fails(
    standin: Standin, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    before = open_exports()
    monkeypatch.setenv("STANDIN_FAILS", f"{function}=2@1")
    with pytest.raises(nf.DeviceError):
        topk(Tensor, standin)
    monkeypatch.delenv("STANDIN_FAILS")
    assert holding.held() == 0
    gc.collect()
    assert open_exports() == before
    assert contents(topk(Tensor, standin).ids, standin).tolist() == IDS


def test_arrays_are_taken_by_calls_that_keep_them(standin: Standin) -> None:
    with pytest.raises(AssertionError, match="inside of reading"):
        arrays.as_device_array(Tensor(standin, ROWS), name="x", device=0, stream=1)
