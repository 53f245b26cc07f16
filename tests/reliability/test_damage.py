"""Every bit of an index file matters: flips, truncations, extensions and files of other kinds."""

from __future__ import annotations

import io
import os
import socket
import time
import zipfile
from pathlib import Path

import nearfield as nf
import numpy as np
import pytest
from nearfield import cli
from reliability.child import call
from reliability.samples import ADAPTED, CODED, GRAPHS, KINDS, LISTED, build


@pytest.mark.parametrize(
    ("metric", "storage", "labelled", "nlist"),
    [
        *((*kind, labelled, 0) for labelled in (False, True) for kind in KINDS),
        *LISTED,
        *CODED,
        *GRAPHS,
        *ADAPTED,
    ],
)
def test_every_flipped_bit_and_every_length_is_noticed(
    tmp_path: Path, metric: str, storage: str, labelled: bool, nlist: int
) -> None:
    path = tmp_path / "whole.nf"
    dim = 4 if "q" in storage else 3
    build(metric, storage, labelled, 5, dim, nlist).save(path, durable=False)
    size = path.stat().st_size
    flipped = call("reliability.damage:flips", str(path), str(tmp_path))
    assert flipped["wrong"] == []
    assert flipped["flips"] == 8 * size
    assert flipped["refused"] == flipped["unverified"] == 2 * 8 * size
    assert flipped["verify"] == 8 * size
    if storage.startswith("float32") or metric == "l2":
        cut = call("reliability.damage:cuts", str(path), str(tmp_path))
        assert cut["wrong"] == []
        assert cut["cut"] == 4 * size


@pytest.mark.slow
def test_a_file_with_pages_and_padding(tmp_path: Path) -> None:
    """Contents of a page or more begin on a page: thousands of zero bytes that also count."""
    path = tmp_path / "whole.nf"
    build("cosine", "float16", True, n=130, dim=16).save(path, durable=False)
    size = path.stat().st_size
    assert size > 8192
    flipped = call("reliability.damage:flips", str(path), str(tmp_path), timeout=900)
    assert flipped["wrong"] == []
    assert flipped["refused"] == 2 * 8 * size
    cut = call("reliability.damage:cuts", str(path), str(tmp_path), timeout=900)
    assert cut["wrong"] == []
    assert cut["cut"] == 4 * size


def foreign_files(folder: Path) -> list[Path]:
    """Create things that are no index files."""
    rng = np.random.default_rng(0)
    np.save(folder / "array.npy", rng.random((50, 8)))
    np.savez(folder / "arrays.npz", a=rng.random(9))
    with zipfile.ZipFile(folder / "texts.zip", "w") as archive:
        archive.writestr("a.txt", "a" * 1000)
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"no": "code"}], object), allow_pickle=True)
    contents = {
        "pickle.npy": buffer.getvalue(),
        "text.txt": b"Whan that Aprille with his shoures soote\n" * 50,
        "text_mode.nf": b"\x89NFX\n\x1a\n" + bytes(200),
        "magic_only.nf": b"\x89NFX\r\n\x1a\n",
        "magic_and_noise.nf": b"\x89NFX\r\n\x1a\n" + rng.bytes(5000),
        "noise.bin": rng.bytes(5000),
        "zeros.bin": bytes(5000),
        "empty": b"",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    with open(folder / "sparse.bin", "wb") as sparse:
        sparse.truncate(2**40)
    with open(folder / "sparse_magic.nf", "wb") as sparse:
        sparse.write(b"\x89NFX\r\n\x1a\n")
        sparse.truncate(2**40)
    (folder / "folder").mkdir()
    os.mkfifo(folder / "fifo")
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "link_to_folder").symlink_to("folder")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(folder / "socket"))
    server.close()
    devices = [Path(f"/dev/{name}") for name in ("zero", "null", "full", "random", "tty")]
    return [
        *sorted(folder.iterdir()),
        *(device for device in devices if device.exists()),
        *(folder / name for name in ("missing", "n" * 300, "folder/missing", "text.txt/below")),
    ]


def test_foreign_files_are_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = foreign_files(tmp_path)
    assert len(paths) > 25
    for path in paths:
        start = time.monotonic()
        for mmap in (False, True):
            for verify in (False, True):
                with pytest.raises((nf.CorruptFileError, OSError)) as caught:
                    nf.load(path, mmap=mmap, verify=verify)
                assert str(path) in str(caught.value), path
        assert time.monotonic() - start < 2, path
    assert cli.main(["verify", *map(str, paths)]) == 2
    shown = capsys.readouterr()
    assert len(shown.err.splitlines()) == len(paths)
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_paths_no_file_can_have() -> None:
    for path in ("", "a\0b"):
        with pytest.raises((ValueError, OSError), match=r"path|name|null"):
            nf.load(path)
        with pytest.raises((ValueError, OSError), match=r"path|name|null"):
            nf.FlatIndex(2).save(path)


def test_saving_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    index = build("l2", "float32", False, n=5, dim=3)
    before = sorted(os.listdir(tmp_path))
    bad = ["folder", "fifo", "loop", "none/x", "n" * 300, "folder/"]
    for path in (*(tmp_path / name for name in bad), "/dev/null", "/proc/none", "/"):
        start = time.monotonic()
        with pytest.raises(OSError, match=r".") as caught:
            index.save(path)
        assert caught.value.errno, path
        assert time.monotonic() - start < 2, path
    assert sorted(os.listdir(tmp_path)) == before
    assert len(index) == 5


def test_verify_tells_whole_from_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, damaged = tmp_path / "whole.nf", tmp_path / "damaged.nf"
    build("ip", "int8", True, n=5, dim=3).save(whole)
    content = bytearray(whole.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    assert cli.main(["verify", str(whole), str(damaged)]) == 2
    shown = capsys.readouterr()
    assert f"{whole}: whole" in shown.out
    assert "checksum" in shown.err
    assert str(damaged) in shown.err
    assert cli.main(["verify", str(whole)]) == 0
