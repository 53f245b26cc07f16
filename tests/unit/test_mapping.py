"""map_corpus: the index of mapped rows, whole or not at all, and the same after an interruption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from nearfield import mapped_rows

T = nf.transforms
DIM = 12


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


ROWS = normal(700, DIM)
KEY_VALUE = T.KeyValue(normal(5, DIM, seed=1), normal(5, DIM, seed=2))
WIDER = T.Affine(normal(16, DIM, seed=3), normal(16, seed=4))

INDEXES: dict[str, Callable[[int], nf.Index]] = {
    "flat": lambda dim: nf.FlatIndex(dim, "ip"),
    "flat cosine float16": lambda dim: nf.FlatIndex(dim, "cosine", quantizer="float16"),
    "flat codes": lambda dim: nf.FlatIndex(dim, quantizer="sq8", refine="float32"),
    "ivf": lambda dim: nf.IVFIndex(dim, 8, seed=5),
    "ivf codes": lambda dim: nf.IVFIndex(
        dim, 8, "ip", quantizer="pq4x4", refine="float16", residual=False, coarse="hierarchical"
    ),
    "hnsw": lambda dim: nf.HNSWIndex(dim, 6, "cosine", ef_construction=40, seed=7),
}


def filled(name: str, rows: np.ndarray = ROWS, ids: Any = None) -> nf.Index:
    index = INDEXES[name](rows.shape[1])
    index.train(rows)
    index.add(rows, ids=ids)
    return index


def contents(index: nf.Index, tmp_path: Path) -> bytes:
    path = tmp_path / "contents.nf"
    index.save(path, durable=False)
    return path.read_bytes()


@pytest.mark.parametrize("transform", [KEY_VALUE, WIDER], ids=["same dim", "another dim"])
@pytest.mark.parametrize("name", INDEXES)
def test_the_new_index_is_that_of_the_mapped_rows(
    name: str, transform: Any, tmp_path: Path
) -> None:
    index = filled(name)
    before = contents(index, tmp_path)
    stored = index.reconstruct(np.arange(len(ROWS)))
    wanted = filled(name, transform(stored))
    mapped = nf.map_corpus(index, transform, block_rows=97)
    assert type(mapped) is type(index)
    assert repr(mapped) == repr(wanted)
    assert contents(mapped, tmp_path) == contents(wanted, tmp_path)
    assert contents(index, tmp_path) == before
    path = tmp_path / "mapped.nf"
    saved = index.map_corpus(transform, path)
    assert path.read_bytes() == contents(wanted, tmp_path) == contents(saved, tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["contents.nf", "mapped.nf"]


def test_labels_stay_and_removed_rows_are_left_out(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).permutation(10_000)[: len(ROWS)]
    for name in ("flat", "ivf", "hnsw"):
        index = filled(name, ids=labels)
        index.remove(labels[::3])
        left = np.delete(labels, np.s_[::3])
        mapped = nf.map_corpus(index, KEY_VALUE, block_rows=50)
        np.testing.assert_array_equal(mapped.ids, left)
        wanted = KEY_VALUE(np.delete(ROWS, np.s_[::3], axis=0))
        np.testing.assert_array_equal(mapped.reconstruct(left), wanted)


def test_row_numbers_stay_row_numbers() -> None:
    mapped = nf.map_corpus(filled("flat"), KEY_VALUE)
    mapped.add(ROWS[:2])
    assert mapped.ids[-2:].tolist() == [len(ROWS), len(ROWS) + 1]


def test_an_index_without_rows(tmp_path: Path) -> None:
    for name, make in INDEXES.items():
        empty = make(DIM)
        for path in (None, tmp_path / f"{name}.nf"):
            mapped = nf.map_corpus(empty, WIDER, path)
            assert (len(mapped), mapped.dim) == (0, 16)
        assert len(nf.load(tmp_path / f"{name}.nf")) == 0


def test_threads_and_blocks_change_nothing(tmp_path: Path) -> None:
    index = filled("ivf")
    made = {
        contents(nf.map_corpus(index, KEY_VALUE, threads=n, block_rows=size), tmp_path)
        for n, size in ((1, 1), (2, 64), (3, 10_000))
    }
    assert len(made) == 1


def test_settings_are_kept() -> None:
    ivf = filled("ivf codes")
    mapped = nf.map_corpus(ivf, KEY_VALUE)
    for name in ("nlist", "coarse", "residual", "seed", "quantizer", "refine", "metric"):
        assert getattr(mapped, name) == getattr(ivf, name), name
    hnsw = filled("hnsw")
    mapped = nf.map_corpus(hnsw, KEY_VALUE)
    for name in ("m", "ef_construction", "seed", "quantizer", "refine", "metric"):
        assert getattr(mapped, name) == getattr(hnsw, name), name


def test_rows_may_go_into_another_index() -> None:
    into = nf.IVFIndex(DIM, 4, "ip", quantizer="float16")
    assert nf.map_corpus(filled("flat"), KEY_VALUE, into=into) is into
    assert len(into) == len(ROWS)
    trained = nf.IVFIndex(DIM, 4)
    trained.train(ROWS)
    centroids = trained.centroids
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nf.map_corpus(filled("flat"), KEY_VALUE, into=trained)
    np.testing.assert_array_equal(trained.centroids, centroids)


def test_codes_alone_are_mapped_only_when_asked(tmp_path: Path) -> None:
    index = nf.FlatIndex(DIM, quantizer="sq8")
    index.train(ROWS)
    index.add(ROWS)
    with pytest.raises(ValueError, match="approximate=True"):
        nf.map_corpus(index, KEY_VALUE, tmp_path / "new.nf")
    assert not list(tmp_path.iterdir())
    mapped = nf.map_corpus(index, KEY_VALUE, approximate=True)
    decoded = index.reconstruct(np.arange(len(ROWS)))
    wanted = nf.FlatIndex(DIM, quantizer="sq8")
    wanted.train(KEY_VALUE(decoded))
    wanted.add(KEY_VALUE(decoded))
    assert contents(mapped, tmp_path) == contents(wanted, tmp_path)


def test_whole_numbers_need_an_index_for_floats() -> None:
    index = nf.FlatIndex(DIM, quantizer="int8")
    index.add(np.random.default_rng(0).integers(-9, 9, (50, DIM)).astype(np.int8))
    with pytest.raises(ValueError, match="rows are int8"):
        nf.map_corpus(index, KEY_VALUE)
    mapped = nf.map_corpus(index, KEY_VALUE, into=nf.FlatIndex(DIM))
    np.testing.assert_array_equal(mapped.reconstruct([3]), KEY_VALUE(index.reconstruct([3])))


WRONG: dict[str, tuple[dict[str, Any], type, str]] = {
    "no transform": ({"transform": np.eye(DIM)}, TypeError, "transform: got a ndarray"),
    "tokens": ({"transform": T.LexicalModulation(normal(9, DIM))}, TypeError, "LexicalModulation"),
    "another dimension": ({"transform": T.Diagonal([1, 2])}, ValueError, "takes 2 dimensions"),
    "into nothing": ({"into": 3}, TypeError, "into: got a int"),
    "into another dimension": ({"into": nf.FlatIndex(3)}, ValueError, "into: got 0 rows of 3"),
    "into rows": ({"into": filled("flat")}, ValueError, "into: got 700 rows"),
    "into few": ({"into": nf.IVFIndex(DIM, 5000)}, ValueError, "into="),
    "no rows a block": ({"block_rows": 0}, ValueError, "block_rows"),
    "no flag": ({"approximate": 1}, TypeError, "approximate"),
    "threads": ({"threads": -1}, ValueError, "threads"),
    "path": ({"path": 3}, TypeError, "path"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_calls_change_nothing(name: str, tmp_path: Path) -> None:
    arguments, error, words = WRONG[name]
    index = filled("flat")
    with pytest.raises(error, match=words):
        nf.map_corpus(index, **{"transform": KEY_VALUE, "path": None, **arguments})
    assert len(index) == len(ROWS)


def test_rows_beyond_float32_are_named(tmp_path: Path) -> None:
    index = nf.FlatIndex(1)
    index.add(np.float32([[1], [2], [1e30]]))
    path = tmp_path / "new.nf"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="row"):
        nf.map_corpus(index, T.Diagonal([1e30]), path, block_rows=2)
    assert path.read_bytes() == b"old"


class StopError(Exception):
    """Raised by what watches progress."""


def interrupted(index: nf.Index, path: Path, after: int, transform: Any = KEY_VALUE) -> list[int]:
    """Map until so many rows are done, then stop; return what progress said."""
    seen: list[int] = []

    def stop(done: int, total: int) -> None:
        assert total == len(index)
        seen.append(done)
        if done >= after:
            raise StopError

    with pytest.raises(StopError):
        nf.map_corpus(index, transform, path, block_rows=50, progress=stop)
    return seen


@pytest.mark.parametrize("name", ["flat", "ivf codes", "hnsw"])
def test_an_interrupted_call_goes_on(name: str, tmp_path: Path) -> None:
    index = filled(name)
    wanted = contents(nf.map_corpus(index, KEY_VALUE), tmp_path)
    path = tmp_path / "new.nf"
    assert interrupted(index, path, 150) == [50, 100, 150]
    assert not path.exists()
    assert interrupted(index, path, 400)[:2] == [150, 200]
    seen: list[int] = []
    nf.map_corpus(index, KEY_VALUE, path, progress=lambda done, _: seen.append(done))
    assert seen[0] == 400
    assert seen[-1] == len(ROWS)
    assert path.read_bytes() == wanted
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["contents.nf", "new.nf"]


def test_what_is_left_is_for_the_same_call_alone(tmp_path: Path) -> None:
    index, path = filled("flat"), tmp_path / "new.nf"
    interrupted(index, path, 100)
    others = [
        (index, T.KeyValue(KEY_VALUE.keys, KEY_VALUE.values, temperature=2.0)),
        (index, T.Diagonal(np.ones(DIM))),
        (filled("flat", ROWS + 1), KEY_VALUE),
        (filled("flat", ids=np.arange(1, len(ROWS) + 1)), KEY_VALUE),
    ]
    for other, transform in others:
        with pytest.raises(ValueError, match="left from mapping another"):
            nf.map_corpus(other, transform, path)
    nf.map_corpus(index, KEY_VALUE, path)


def spoil(record: Path, **values: Any) -> None:
    record.write_text(json.dumps({**json.loads(record.read_text()), **values}))


def test_damage_in_what_is_left_is_noticed(tmp_path: Path) -> None:
    index, path = filled("flat"), tmp_path / "new.nf"
    interrupted(index, path, 100)
    folder = tmp_path / "new.nf.mapping"
    record, rows = folder / "progress.json", folder / "rows.f32"
    kept, data = record.read_text(), rows.read_bytes()
    for text in ("", "{", "[]", "3", "{}", "[" * 4000, kept[:-4]):
        record.write_text(text)
        with pytest.raises(nf.CorruptFileError, match="remove its folder"):
            nf.map_corpus(index, KEY_VALUE, path)
    for values in ({"rows": 99}, {"rows": -1}, {"rows": 10**9}, {"rows": 1.5}, {"crc32": 1}):
        record.write_text(kept)
        spoil(record, **values)
        with pytest.raises(nf.CorruptFileError):
            nf.map_corpus(index, KEY_VALUE, path)
    record.write_text(kept)
    for damaged in (data[:-1], b"\x01" + data[1:]):
        rows.write_bytes(damaged)
        with pytest.raises(nf.CorruptFileError, match=r"rows\.f32"):
            nf.map_corpus(index, KEY_VALUE, path)
    rows.write_bytes(data + b"cut short by a crash")
    nf.map_corpus(index, KEY_VALUE, path)
    assert path.read_bytes() == contents(nf.map_corpus(index, KEY_VALUE), tmp_path)


def test_an_index_that_changes_is_noticed() -> None:
    index = filled("flat")
    with pytest.raises(RuntimeError, match="changed"):
        nf.map_corpus(index, KEY_VALUE, block_rows=300, progress=lambda *_: index.remove([699]))
    with pytest.raises(RuntimeError, match="changed"):
        nf.map_corpus(index, KEY_VALUE, block_rows=300, progress=lambda *_: index.add(ROWS[:1]))


KILLED = """
import sys, time
import nearfield as nf
from nearfield import mapped_rows
mapped_rows._RECORD_SECONDS = 0
def slowly(done, total):
    print(done, flush=True)
    time.sleep(0.02)
index = nf.load(sys.argv[1])
nf.map_corpus(index, nf.transforms.load(sys.argv[2]), sys.argv[3], block_rows=10, progress=slowly)
"""


def test_a_killed_process_loses_nothing_that_was_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("safetensors")
    index, path = filled("flat"), tmp_path / "new.nf"
    index.save(tmp_path / "old.nf")
    KEY_VALUE.save(tmp_path / "adapter")
    files = [str(tmp_path / name) for name in ("old.nf", "adapter", "new.nf")]
    for lines in (1, 7):
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, *files], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for _ in range(lines):
            assert child.stdout.readline()
        time.sleep(0.005)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
    seen: list[int] = []
    monkeypatch.setattr(mapped_rows, "_RECORD_SECONDS", 0)
    nf.map_corpus(index, KEY_VALUE, path, progress=lambda done, _: seen.append(done))
    assert seen[0] >= 60
    assert path.read_bytes() == contents(nf.map_corpus(index, KEY_VALUE), tmp_path)
