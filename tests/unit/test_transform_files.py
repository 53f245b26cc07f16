"""Files of transforms: what is saved comes back, and nothing else gets in."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import sys
from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("safetensors")

T = nf.transforms
ENTRY = "nearfield.transform"
RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def lexical(**settings: Any) -> Any:
    return T.LexicalModulation(normal(6, 4), **settings)


EXAMPLES = {
    "affine": T.Affine(normal(3, 4), normal(3)),
    "affine without b": T.Affine(normal(4, 4)),
    "low_rank": T.LowRank(normal(2, 4), normal(4, 2), scale=0.1, bias=normal(4)),
    "key_value": T.KeyValue(normal(5, 4), normal(5, 4), temperature=0.3),
    "residual_mlp": T.ResidualMLP(normal(3, 4), None, normal(4, 3), gate=-1 / 3, activation="tanh"),
    "diagonal": T.Diagonal(normal(4)),
    "normalize": T.Normalize(),
    "activation": T.Activation("sigmoid"),
    "empty chain": T.Chain([]),
    "chain": T.Chain([T.Affine(normal(3, 4)), T.Chain([T.Diagonal(normal(3)), T.Normalize()])]),
    "lexical": lexical(bias=normal(4), special_ids=[0, 2], scale=2.0),
    "lexical llr": lexical(mode="llr", scorer=normal(7), scorer_bias=0.5, normalize=False),
}


def split(data: bytes) -> tuple[dict[str, Any], bytes]:
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def join(header: Any, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def saved(transform: Any, tmp_path: Path) -> Path:
    path = tmp_path / "saved.safetensors"
    transform.save(path)
    return path


def refused(data: bytes, tmp_path: Path, words: str | None = None) -> None:
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(data)
    with pytest.raises(nf.CorruptFileError, match=words) as caught:
        T.load(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_saved_comes_back(name: str, tmp_path: Path) -> None:
    transform = EXAMPLES[name]
    again = T.load(saved(transform, tmp_path))
    assert type(again) is type(transform)
    assert again.config() == transform.config()
    assert again.parameters().keys() == transform.parameters().keys()
    for key, array in transform.parameters().items():
        np.testing.assert_array_equal(again.parameters()[key], array)
    if "lexical" not in name:
        x = normal(9, 4)
        np.testing.assert_array_equal(again(x), transform(x))


def test_every_kind_is_among_the_examples() -> None:
    assert {transform.kind for transform in EXAMPLES.values()} == set(T.base.KINDS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_equal_transforms_make_equal_files(name: str, tmp_path: Path) -> None:
    files = set()
    for _ in range(4):
        files.add(saved(EXAMPLES[name], tmp_path).read_bytes())
    assert len(files) == 1


def test_nbytes_are_those_of_the_arrays(tmp_path: Path) -> None:
    assert T.LowRank(normal(2, 4), normal(4, 2), bias=normal(4)).nbytes == 4 * (8 + 8 + 4)
    assert T.Normalize().nbytes == 0
    _, data = split(saved(EXAMPLES["chain"], tmp_path).read_bytes())
    assert EXAMPLES["chain"].nbytes == len(data) == 4 * (12 + 3)


def test_saving_replaces_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(T.Diagonal([1, 2]), tmp_path)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="full"):
        T.Diagonal([3, 4]).save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]
    monkeypatch.undo()
    T.Diagonal([3, 4]).save(path)
    assert T.load(path).w.tolist() == [3, 4]


def test_links_are_followed_and_modes_kept(tmp_path: Path) -> None:
    path = saved(T.Diagonal([1, 2]), tmp_path)
    path.chmod(0o640)
    link = tmp_path / "link.safetensors"
    link.symlink_to(path.name)
    T.Diagonal([3, 4]).save(link)
    assert link.is_symlink()
    assert T.load(path).w.tolist() == [3, 4]
    assert path.stat().st_mode & 0o777 == 0o640


def test_paths_that_cannot_be_written_or_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        T.Normalize().save(tmp_path / "nowhere" / "x.safetensors")
    with pytest.raises(FileNotFoundError):
        T.load(tmp_path / "nothing.safetensors")
    with pytest.raises(IsADirectoryError):
        T.load(tmp_path)
    with pytest.raises(TypeError, match="path"):
        T.load(3)


def test_an_entry_of_a_transform_alone_is_needed(tmp_path: Path) -> None:
    from safetensors.numpy import save

    refused(save({"w": normal(2)}), tmp_path, "from_sentence_transformers")
    refused(save({"w": normal(2)}, {"format": "pt"}), tmp_path, ENTRY)


@pytest.mark.parametrize("absent", ["safetensors"])
def test_without_the_package_the_pip_line_is_given(
    absent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(T.Diagonal([1]), tmp_path)
    monkeypatch.setitem(sys.modules, absent, None)
    for call in (lambda: T.load(path), lambda: T.Diagonal([1]).save(path)):
        with pytest.raises(ImportError, match=r'pip install "nearfield\[adapters\]"'):
            call()


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_other_floating_point_types_are_taken(kind: str, tmp_path: Path) -> None:
    header, _ = split(saved(T.Diagonal([1, -2.5]), tmp_path).read_bytes())
    ml_dtypes = pytest.importorskip("ml_dtypes")
    dtype = np.dtype(ml_dtypes.bfloat16) if kind == "bfloat16" else np.dtype(kind)
    data = np.array([1, -2.5], dtype=dtype).tobytes()
    name = {"float16": "F16", "bfloat16": "BF16", "float64": "F64"}[kind]
    header["w"] = {"dtype": name, "shape": [2], "data_offsets": [0, len(data)]}
    path = tmp_path / "other.safetensors"
    path.write_bytes(join(header, data))
    loaded = T.load(path)
    assert loaded.w.dtype == np.float32
    assert loaded.w.tolist() == [1, -2.5]


def test_types_that_are_no_floats_are_refused(tmp_path: Path) -> None:
    header, data = split(saved(T.Diagonal([1, -2.5]), tmp_path).read_bytes())
    header["w"]["dtype"] = "I32"
    refused(join(header, data), tmp_path, "type I32, expected one of F16, BF16, F32, F64")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_are_refused(value: float, tmp_path: Path) -> None:
    header, _ = split(saved(T.Diagonal([1, 2]), tmp_path).read_bytes())
    refused(join(header, np.float32([1, value]).tobytes()), tmp_path, "w holds NaN")
    header["w"] = {"dtype": "F64", "shape": [2], "data_offsets": [0, 16]}
    refused(join(header, np.float64([1, 1e300]).tobytes()), tmp_path, "beyond float32")


def with_entry(path: Path, change: Any) -> bytes:
    header, data = split(path.read_bytes())
    described = json.loads(header["__metadata__"][ENTRY])
    changed = change(described)
    header["__metadata__"][ENTRY] = changed if isinstance(changed, str) else json.dumps(described)
    return join(header, data)


LIES: dict[str, tuple[Any, str]] = {
    "no JSON": (lambda d: "{", "not JSON"),
    "a list": (lambda d: "[1]", "version"),
    "deep": (lambda d: "[" * 100_000, "not JSON"),
    "no version": (lambda d: d.pop("version"), "version None"),
    "a later version": (lambda d: d.update(version=2), "version 2, expected 1"),
    "no kind": (lambda d: d.update(kind=None), "kind None"),
    "a kind of nothing": (lambda d: d.update(kind="os.system"), "expected one of"),
    "a kind that is a list": (lambda d: d.update(kind=["affine"]), "expected one of"),
    "another kind": (lambda d: d.update(kind="diagonal"), "unknown array"),
    "no config": (lambda d: d.update(config=None), "expected a JSON object"),
    "no such setting": (lambda d: d["config"].update(power=2), "power"),
    "a word for a number": (lambda d: d["config"].update(scale="large"), "scale"),
    "a list for a number": (lambda d: d["config"].update(scale=[1]), "scale"),
    "NaN": (lambda d: d["config"].update(scale=float("nan")), "scale"),
    "a long word": (lambda d: d.update(kind="activation", config={"activation": "x" * 10**6}), "x"),
    "a long name": (lambda d: d["config"].update({"x" * 10**6: 2}), "unknown setting"),
    "no end of chains": (lambda d: d["config"].update({"0." * 100_000 + "kind": "chain"}), "deep"),
}


@pytest.mark.parametrize("lie", LIES)
def test_metadata_that_lies_is_refused(lie: str, tmp_path: Path) -> None:
    change, words = LIES[lie]
    path = saved(T.LowRank(normal(2, 4), normal(4, 2)), tmp_path)
    refused(with_entry(path, change), tmp_path, words)


CHAIN_LIES: dict[str, tuple[Any, str | None]] = {
    "a part without a kind": (lambda c: c.pop("0.kind") and None, "kind None"),
    "a part of no kind": (lambda c: c.update({"0.kind": "loop"}), "loop"),
    "a gap": (lambda c: c.update({"7.kind": "normalize"}), "numbered"),
    "a name for a number": (lambda c: c.update({"x.kind": "normalize"}), "numbered"),
    "a kind that is an object": (lambda c: c.update({"1.kind": {}}), "kind"),
    "modulation": (lambda c: c.update({"0.kind": "lexical"}), None),
}


@pytest.mark.parametrize("lie", CHAIN_LIES)
def test_chains_that_lie_are_refused(lie: str, tmp_path: Path) -> None:
    change, words = CHAIN_LIES[lie]
    path = saved(T.Chain([T.Diagonal([1, 2]), T.Normalize()]), tmp_path)
    refused(with_entry(path, lambda d: change(d["config"])), tmp_path, words)


def test_tensors_must_be_those_of_the_kind(tmp_path: Path) -> None:
    path = saved(T.LowRank(normal(2, 4), normal(4, 2)), tmp_path)
    header, data = split(path.read_bytes())
    missing = {name: entry for name, entry in header.items() if name != "a"}
    refused(join({**missing, "a2": header["a"]}, data), tmp_path, "a2")
    start, end = header["a"]["data_offsets"]
    missing["b"] = {**header["b"], "data_offsets": [0, 32]}
    refused(join(missing, data[end:]), tmp_path, "a missing")
    refused(join({**header, "a": {**header["a"], "shape": [4, 2]}}, data), tmp_path, "b: got shape")
    refused(join({**header, "a": {**header["a"], "shape": [8]}}, data), tmp_path, "a: got shape")
    empty = {**header, "bias": {"dtype": "F32", "shape": [0], "data_offsets": [64, 64]}}
    refused(join(empty, data), tmp_path, "bias")
    assert (start, end) == (0, 32)


def test_headers_that_are_none_are_refused(tmp_path: Path) -> None:
    whole = saved(T.Diagonal([1, 2]), tmp_path).read_bytes()
    header, data = split(whole)
    refused(b"", tmp_path, "cut short")
    refused(b"PK\x03\x04" * 50, tmp_path, "not a safetensors file")
    refused(struct.pack("<Q", 2**62) + whole[8:], tmp_path, "not a safetensors file")
    refused(join(b"[" * 200_000, data), tmp_path, "JSON")
    refused(join(b"[]", data), tmp_path, "expected an object")
    refused(join(b"\xff\xfe", data), tmp_path, "JSON")
    refused(join({**header, "__metadata__": 3}, data), tmp_path, "object")
    refused(join({**header, "__metadata__": {ENTRY: 3}}, data), tmp_path)
    huge = {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 8]}
    refused(join({**header, "w": huge}, data), tmp_path, "no valid safetensors")
    for shape in ([0, 2**62], [2**63, 0], [0, 2**40, 2**40], [1] * 70 + [0]):
        empty = {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}
        refused(join({**header, "w": empty}, b""), tmp_path)
    many = {"dtype": "F32", "shape": [1] * 70 + [2], "data_offsets": [0, 8]}
    refused(join({**header, "w": many}, data), tmp_path, "w has no shape of an array")
    beyond = {"dtype": "F32", "shape": [2**20], "data_offsets": [0, 2**22]}
    refused(join({**header, "w": beyond}, data), tmp_path, "no valid safetensors")


def test_every_cut_and_every_changed_byte_is_noticed_or_harmless(tmp_path: Path) -> None:
    whole = saved(T.LowRank([[1, 2]], [[3], [4]], scale=0.5), tmp_path).read_bytes()
    path = tmp_path / "damaged.safetensors"
    for size in range(len(whole)):
        refused(whole[:size], tmp_path)
    refused(whole + b"\0", tmp_path)
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        with contextlib.suppress(nf.CorruptFileError):
            assert isinstance(T.load(path), T.Transform)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_noise_is_refused(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, led: bool
) -> None:
    data = join(noise, noise) if led else noise
    refused(data, tmp_path_factory.mktemp("noise"))


def test_chains_without_end_are_not_saved(tmp_path: Path) -> None:
    deep = T.Normalize()
    for _ in range(40):
        deep = T.Chain([deep])
    with pytest.raises(ValueError, match="deep"):
        deep.save(tmp_path / "deep.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_file_takes_no_more_memory_than_its_size_explains(tmp_path: Path) -> None:
    tracemalloc = pytest.importorskip("tracemalloc")
    path = saved(T.Affine(normal(512, 512)), tmp_path)
    size = path.stat().st_size
    tracemalloc.start()
    T.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * size + 2**20
