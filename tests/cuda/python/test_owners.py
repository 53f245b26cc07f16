"""Results in the caller's kind, from the allocator of the caller, on its current stream."""

from __future__ import annotations

import ctypes
import sys
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from cuda.standin import DlpackArray, Standin

ROWS = np.float32([[0, 0], [3, 4], [1, 1]])
QUERY = np.float32([[1, 0]])


class Tensor(DlpackArray):
    """What torch has of a tensor, as far as a search needs it."""

    read_on: tuple[int, ...] = ()

    def data_ptr(self) -> int:
        return self.address

    def record_stream(self, stream: Any) -> None:
        self.read_on = (*self.read_on, stream.cuda_stream)

    def held(self) -> np.ndarray:
        out = np.empty(self.array.shape, self.array.dtype)
        ctypes.memmove(out.ctypes.data, self.address, out.nbytes)
        return out


class CupyArray(Tensor):
    """Likewise of CuPy's."""

    __module__ = "cupy"

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self.address)


class Library:
    """torch and CuPy in one: the current stream, and a record of what is allocated on which."""

    def __init__(self, standin: Standin, kind: type[Tensor]) -> None:
        self.standin, self.kind = standin, kind
        self.now = 0
        self.allocated: list[tuple[tuple[int, ...], str, int]] = []

    def current(self, *_: Any) -> Any:
        return SimpleNamespace(cuda_stream=self.now, ptr=self.now)

    def empty(self, shape: tuple[int, ...], dtype: str, device: str = "cuda:0") -> Tensor:
        self.allocated.append((shape, dtype, self.now))
        return self.kind(self.standin, np.zeros(shape, dtype), device=int(device[5:]))

    def external(self, stream: int, device: int) -> Any:
        assert stream > 1, "0 would be a new stream"
        return SimpleNamespace(cuda_stream=stream, __enter__=None)

    @contextmanager
    def stream(self, stream: Any) -> Any:
        before, self.now = self.now, stream.cuda_stream
        yield
        self.now = before


@pytest.fixture
def torch(standin: Standin, monkeypatch: pytest.MonkeyPatch) -> Library:
    made = Library(standin, Tensor)
    module = ModuleType("torch")
    module.__dict__.update(
        Tensor=Tensor,
        empty=made.empty,
        cuda=SimpleNamespace(
            current_stream=made.current,
            default_stream=lambda device: SimpleNamespace(cuda_stream=0),
            stream=made.stream,
            ExternalStream=made.external,
        ),
        **{name: name for name in ("int64", "float32", "uint8")},
    )
    monkeypatch.setitem(sys.modules, "torch", module)
    return made


def test_torch(torch: Library, standin: Standin) -> None:
    q, rows = Tensor(standin, QUERY), Tensor(standin, ROWS)
    found = nf.topk(q, rows, k=2)
    assert all(type(part) is Tensor for part in found)
    assert {stream for *_, stream in torch.allocated} == {0}
    assert [shape for shape, *_ in torch.allocated[:3]] == [(1, 2), (1, 2), (1,)]
    assert q.read_on == rows.read_on == (0,), "torch itself knows on which stream it made them"
    standin.synchronize(1)
    assert found.ids.held().tolist() == [[0, 2]]
    assert found.counts.held().tolist() == [2]


def test_torchs_current_stream_is_taken(torch: Library, standin: Standin) -> None:
    q, rows = Tensor(standin, QUERY), Tensor(standin, ROWS)
    torch.now = standin.stream()
    found = nf.topk(q, rows, k=2)
    standin.synchronize(torch.now)
    assert found.ids.held().tolist() == [[0, 2]]


def test_torch_on_another_stream(torch: Library, standin: Standin) -> None:
    q, rows = Tensor(standin, QUERY), Tensor(standin, ROWS)
    side = standin.stream()
    found = nf.topk(q, rows, k=2, stream=side)
    assert {stream for *_, stream in torch.allocated} == {side}
    assert q.read_on == rows.read_on == (side,)
    assert torch.now == 0
    standin.synchronize(side)
    assert found.ids.held().tolist() == [[0, 2]]


def test_the_legacy_stream_beside_another_current_one(torch: Library, standin: Standin) -> None:
    q, rows = Tensor(standin, QUERY), Tensor(standin, ROWS)
    torch.now = standin.stream()
    found = nf.topk(q, rows, k=2, stream=1)
    assert {stream for *_, stream in torch.allocated} == {0}
    assert q.read_on == rows.read_on == (0,)
    standin.synchronize(1)
    assert found.ids.held().tolist() == [[0, 2]]


def test_cupy(standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Library(standin, CupyArray)

    @contextmanager
    def device(number: int) -> Any:
        assert number == 0
        yield

    def external(stream: int, number: int) -> Any:
        return made.stream(SimpleNamespace(cuda_stream=stream))

    module = ModuleType("cupy")
    module.__dict__.update(
        empty=made.empty,
        cuda=SimpleNamespace(
            Device=device, get_current_stream=made.current, ExternalStream=external
        ),
    )
    monkeypatch.setitem(sys.modules, "cupy", module)
    q, rows = CupyArray(standin, QUERY), CupyArray(standin, ROWS)
    side = standin.stream()
    for stream in (None, side):
        found = nf.topk(q, rows, k=2, stream=stream)
        assert all(type(part) is CupyArray for part in found)
        assert made.allocated[-1][2] == (stream or 0)
        standin.synchronize(stream or 1)
        assert found.ids.held().tolist() == [[0, 2]]


def test_torchs_bfloat16_and_one_vector(torch: Library, standin: Standin) -> None:
    def bits(values: np.ndarray) -> np.ndarray:
        return (values.view(np.uint32) >> 16).astype(np.uint16)

    q, rows = (Tensor(standin, bits(part), bfloat16=True) for part in (QUERY[0], ROWS))
    found = nf.topk(q, rows, k=2)
    standin.synchronize(1)
    assert [shape for shape, *_ in torch.allocated[:3]] == [(2,), (2,), ()]
    assert found.ids.held().tolist() == [0, 2]
    assert found.counts.held() == 2


def test_torchs_current_stream_is_gone(torch: Library, standin: Standin) -> None:
    q, rows = Tensor(standin, QUERY), Tensor(standin, ROWS)
    torch.now = standin.stream()
    standin.destroy(torch.now)
    with pytest.raises(nf.DeviceError):
        nf.topk(q, rows, k=2)
    torch.now = 0
    found = nf.topk(q, rows, k=2)
    standin.synchronize(1)
    assert found.ids.held().tolist() == [[0, 2]]


def test_out_of_memory_of_the_caller_passes(torch: Library, standin: Standin) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise MemoryError("torch.OutOfMemoryError")

    sys.modules["torch"].__dict__["empty"] = refuse
    with pytest.raises(MemoryError):
        nf.topk(Tensor(standin, QUERY), Tensor(standin, ROWS), k=2)
