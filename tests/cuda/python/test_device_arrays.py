"""Arrays in and out without a copy or a wait: streams, layouts, devices, and who frees what."""

from __future__ import annotations

import ctypes
import gc
from types import SimpleNamespace
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from cuda.standin import DlpackArray, InterfaceArray, Standin, contents, open_exports
from nearfield.cuda import holding

ROWS = np.float32([[0, 0], [3, 4], [1, 1], [9, 9]])
QUERY = np.float32([[1, 0]])
IDS = [[0, 2, 1]]
SYNCHRONISING = ("cuStreamSynchronize", "cuEventSynchronize", "cuMemFree", "cuMemAlloc")

KINDS = pytest.mark.parametrize("kind", [DlpackArray, InterfaceArray])


@KINDS
def test_nothing_waits(standin: Standin, kind: type) -> None:
    q, rows = kind(standin, QUERY), kind(standin, ROWS)
    nf.topk(q, rows, k=3)  # compiles
    standin.finish()
    before = [standin.calls(name) for name in SYNCHRONISING]
    ran = standin.launches
    found = nf.topk(q, rows, k=3)
    assert [standin.calls(name) for name in SYNCHRONISING] == before
    assert standin.launches == ran, "a kernel ran, so something waited"
    assert contents(found.ids, standin).tolist() == IDS
    assert standin.launches > ran


@KINDS
def test_what_the_producer_still_computes_is_waited_for(standin: Standin, kind: type) -> None:
    theirs = standin.stream()
    q, rows = kind(standin, QUERY, stream=theirs), kind(standin, ROWS, stream=theirs)
    found = nf.topk(q, rows, k=3, stream=standin.stream())
    assert contents(found.ids, standin).tolist() == IDS


def test_without_that_wait_the_rows_are_not_there_yet(standin: Standin) -> None:
    """The driver sees a missing wait: here nobody says which stream still writes."""
    q = InterfaceArray(standin, QUERY)
    rows = InterfaceArray(standin, ROWS, stream=standin.stream())
    rows.stream = None
    ours = standin.stream()
    found = nf.topk(q, rows, k=3, stream=ours)
    assert contents(found.counts, standin).tolist() == [0]  # memory not yet written is NaN


@pytest.mark.parametrize("how", ["handle", "cuda_stream", "ptr", "protocol", "legacy", "zero"])
def test_the_stream_is_the_callers(standin: Standin, how: str) -> None:
    handle = standin.stream()
    stream: Any = {
        "handle": handle,
        "cuda_stream": SimpleNamespace(cuda_stream=handle),
        "ptr": SimpleNamespace(ptr=handle),
        "protocol": type("S", (), {"__cuda_stream__": lambda _: (0, handle)})(),
        "legacy": 1,
        "zero": 0,
    }[how]
    found = nf.topk(DlpackArray(standin, QUERY), DlpackArray(standin, ROWS), k=3, stream=stream)
    expected = handle if how not in ("legacy", "zero") else 1
    assert found.ids.__cuda_array_interface__["stream"] == expected
    assert contents(found.ids, standin).tolist() == IDS


def test_streams_that_are_none(standin: Standin) -> None:
    q, rows = DlpackArray(standin, QUERY), DlpackArray(standin, ROWS)
    for wrong in ("fast", -1, True, 1.5, object()):
        with pytest.raises(TypeError, match=r"stream: got .*, expected None, a handle"):
            nf.topk(q, rows, stream=wrong)
    gone = standin.stream()
    standin.destroy(gone)
    with pytest.raises(nf.DeviceError, match="does not exist"):
        nf.topk(q, rows, stream=gone)
    with pytest.raises(nf.DeviceError, match="does not belong to cuda:0"):
        nf.topk(q, rows, stream=standin.stream(device=1))
    with pytest.raises(TypeError, match=r"stream: .* arrays on the CPU"):
        nf.topk(QUERY, ROWS, stream=1)


@KINDS
def test_arrays_elsewhere(standin: Standin, kind: type) -> None:
    q, rows = kind(standin, QUERY), kind(standin, ROWS)
    with pytest.raises(ValueError, match=r"corpus: got an array on cuda:1, expected one on cuda:0"):
        nf.topk(q, kind(standin, ROWS, device=1))
    with pytest.raises(TypeError, match=r"corpus: got a ndarray on the CPU.*cuda:0 like queries"):
        nf.topk(q, ROWS)
    with pytest.raises(TypeError, match=r"queries: got a list on the CPU.*cuda:0 like corpus"):
        nf.topk([[1.0, 0.0]], rows)
    with pytest.raises(ValueError, match=r"filter: got an array on cuda:1"):
        nf.topk(q, rows, filter=kind(standin, np.ones(4, bool), device=1))


@KINDS
@pytest.mark.parametrize("dtype", ["float64", "int32", "uint16", "int64", "bool"])
def test_types_that_are_not_taken(standin: Standin, kind: type, dtype: str) -> None:
    with pytest.raises(TypeError, match=r"queries: got .*, expected one of float32"):
        nf.topk(kind(standin, QUERY.astype(dtype)), kind(standin, ROWS))


@KINDS
def test_layouts_that_are_not_taken(standin: Standin, kind: type) -> None:
    q = kind(standin, QUERY)
    for wrong in (np.asfortranarray(ROWS), np.zeros((4, 4), np.float32)[:, ::2], ROWS[::-1]):
        with pytest.raises(ValueError, match=r"corpus: got strides .*contiguous"):
            nf.topk(q, kind(standin, wrong))
    for wrong in (ROWS[0], ROWS[:, :, None], np.zeros((4, 0), np.float32)):
        with pytest.raises(ValueError, match=r"corpus: got shape .*expected \(n, dim\)"):
            nf.topk(q, kind(standin, wrong))
    with pytest.raises(ValueError, match=r"queries: got shape \(1, 3\), expected \(n, 2\)"):
        nf.topk(kind(standin, np.zeros((1, 3), np.float32)), kind(standin, ROWS))
    with pytest.raises(ValueError, match=r"exclude_self: got 1 queries for 4 rows"):
        nf.topk(q, kind(standin, ROWS), exclude_self=True)
    with pytest.raises(ValueError, match=r"filter: got bool of shape \(3,\)"):
        nf.topk(q, kind(standin, ROWS), filter=kind(standin, np.ones(3, bool)))
    with pytest.raises(ValueError, match="transform"):
        nf.topk(q, kind(standin, ROWS), transform=nf.transforms.Diagonal(np.ones(3, np.float32)))


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"stream": 0}, "stream 0"),
        ({"mask": object()}, "without a mask"),
        ({"typestr": ">f4"}, "got big-endian"),
        ({"strides": (9, 4)}, "no multiples of 4"),
        ({"data": (12345, False)}, "not known to the CUDA driver"),
    ],
)
def test_interfaces_that_lie(standin: Standin, extra: dict[str, Any], message: str) -> None:
    rows = InterfaceArray(standin, ROWS)
    rows.extra = extra
    with pytest.raises((ValueError, TypeError, nf.DeviceError), match=message):
        nf.topk(InterfaceArray(standin, QUERY), rows)


def test_capsules_that_are_none(standin: Standin) -> None:
    rows = DlpackArray(standin, ROWS)
    rows.__class__ = type("Odd", (DlpackArray,), {"__dlpack__": lambda self, **_: object()})
    with pytest.raises(TypeError, match="corpus: got a Odd"):
        nf.topk(DlpackArray(standin, QUERY), rows)
    capsule = DlpackArray(standin, ROWS).__dlpack__()
    native = nf._core.cuda
    native.open_dlpack(capsule)
    with pytest.raises(TypeError, match="used up"):
        native.open_dlpack(capsule)


def test_tensors_are_given_back(standin: Standin) -> None:
    q, rows = DlpackArray(standin, QUERY), DlpackArray(standin, ROWS)
    before = open_exports()
    found = nf.topk(q, rows, k=3)
    with pytest.raises(ValueError, match="expected"):
        nf.topk(q, DlpackArray(standin, ROWS[0]))
    standin.finish()
    holding.let_go()
    gc.collect()
    assert open_exports() == before
    assert contents(found.ids, standin).tolist() == IDS


def test_a_tensor_of_a_later_dlpack(standin: Standin) -> None:
    """The version is verified even though an older one was asked for."""
    native = nf._core.cuda
    rows = native.DeviceArray((4, 2), "float32", 0, 1)
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)

    class Later:
        def __dlpack_device__(self) -> tuple[int, int]:
            return (2, 0)

        def __dlpack__(self, *, stream: Any = None, max_version: Any = None) -> Any:
            capsule = rows.__dlpack__(stream=stream, max_version=max_version)
            ctypes.c_uint32.from_address(pointer(capsule, b"dltensor_versioned")).value = 2
            return capsule

    with pytest.raises(TypeError, match=r"corpus: got .*tensor of DLPack 2, expected 1 or older"):
        nf.topk(DlpackArray(standin, QUERY), Later())


def test_results_travel_on(standin: Standin) -> None:
    """What comes out goes in again, by either protocol, and lives as long as who holds it."""
    native = nf._core.cuda
    rows = native.DeviceArray((4, 2), "float32", 0, 1)
    native.upload(rows, ROWS.reshape(-1), 0)
    assert rows.__dlpack_device__() == (2, 0)
    assert (rows.shape, rows.dtype, rows.device, rows.nbytes) == ((4, 2), "float32", "cuda:0", 32)
    for version in (None, (1, 0)):
        capsule = rows.__dlpack__(max_version=version)
        address, kind, device, dtype, shape, strides, keeper = native.open_dlpack(capsule)
        assert (kind, device, dtype, shape, strides) == (2, 0, "float32", (4, 2), (2, 1))
        assert address == rows._address
        del keeper
    found = nf.topk(DlpackArray(standin, QUERY), rows, k=3)
    del rows, capsule
    gc.collect()
    assert contents(found.ids, standin).tolist() == IDS


def test_results_can_be_copied_to_the_host(standin: Standin) -> None:
    found = nf.topk(DlpackArray(standin, QUERY), DlpackArray(standin, ROWS), k=3)
    assert found.ids.numpy().tolist() == IDS
    assert found.counts.numpy().dtype == np.int64
    one = nf.topk(DlpackArray(standin, QUERY[0]), DlpackArray(standin, ROWS), k=3)
    assert one.counts.numpy() == 3
    bits = nf._core.cuda.DeviceArray((2, 3), "bfloat16", 0, 1).numpy()
    assert (bits.dtype, bits.shape) == (np.uint16, (2, 3))


def test_devices_are_described_without_starting_them(standin: Standin) -> None:
    started = standin.calls("cuDevicePrimaryCtxRetain")
    assert [device.capability for device in nf.devices()] == ["9.0", "9.0"]
    assert standin.calls("cuDevicePrimaryCtxRetain") == started


def test_results_refuse_what_they_cannot_do(standin: Standin) -> None:
    array = nf._core.cuda.DeviceArray((2,), "bfloat16", 0, 1)
    with pytest.raises(BufferError, match="copy"):
        array.__dlpack__(copy=True)
    with pytest.raises(BufferError, match="cuda:0"):
        array.__dlpack__(dl_device=(1, 0))
    with pytest.raises(ValueError, match="stream"):
        array.__dlpack__(stream=0)
    assert not hasattr(array, "__cuda_array_interface__")
    with pytest.raises(ValueError, match="dtype"):
        nf._core.cuda.DeviceArray((2,), "complex64", 0, 1)


def test_out_of_memory_leaves_everything_usable(
    standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    q, rows = DlpackArray(standin, QUERY), DlpackArray(standin, ROWS)
    monkeypatch.setenv("STANDIN_FAILS", "cuMemAllocAsync=2")
    with pytest.raises(nf.DeviceError, match="OUT_OF_MEMORY"):
        nf.topk(q, rows, k=3)
    monkeypatch.setenv("STANDIN_FAILS", "cuMemAllocAsync=2@3")
    with pytest.raises(nf.DeviceError, match="OUT_OF_MEMORY"):
        nf.topk(q, rows, k=3)
    monkeypatch.delenv("STANDIN_FAILS")
    assert contents(nf.topk(q, rows, k=3).ids, standin).tolist() == IDS


@pytest.mark.parametrize("function", ["cuLaunchKernel", "cuCtxPushCurrent", "cuStreamWaitEvent"])
def test_calls_that_fail(standin: Standin, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    theirs, ours = standin.stream(), standin.stream()
    q, rows = InterfaceArray(standin, QUERY, stream=theirs), InterfaceArray(standin, ROWS)
    monkeypatch.setenv("STANDIN_FAILS", f"{function}=999")
    with pytest.raises(nf.DeviceError, match="cannot"):
        nf.topk(q, rows, k=3, stream=ours)
    monkeypatch.delenv("STANDIN_FAILS")
    assert contents(nf.topk(q, rows, k=3).ids, standin).tolist() == IDS
