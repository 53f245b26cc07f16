"""Every call that takes a device or arrays on one, asked wrongly: typed errors, all as before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nearfield as nf
import numpy as np
import pytest
from cuda.python.test_absence import run
from cuda.standin import DlpackArray, Standin
from nearfield.cuda import holding

DIM = 4
Call = Callable[..., Any]


@pytest.fixture(scope="module")
def here() -> dict[str, Any]:
    """Return what calls are made of, on the CPU."""
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((60, DIM), dtype=np.float32)
    made: dict[str, Any] = {
        "flat": nf.FlatIndex(DIM),
        "lists": nf.IVFIndex(DIM, 3),
        "graph": nf.HNSWIndex(DIM, 4),
    }
    made["lists"].train(rows)
    for index in made.values():
        index.add(rows)
    down, up = rng.standard_normal((2, 2, DIM)), rng.standard_normal((2, DIM, 2))
    return made | {
        "rows": rows,
        "quantizer": nf.quant.ProductQuantizer(m=2, nbits=4).train(rows),
        "clusters": nf.KMeans(3).fit(rows),
        "low": [nf.transforms.LowRank(a, b) for a, b in zip(down, up, strict=True)],
    }


def calls(here: dict[str, Any]) -> dict[str, Call]:
    """Return calls of an array and, where they take one, a stream."""
    there = {name: here[name].to("cuda") for name in ("flat", "lists", "graph")}
    there["shards"] = here["flat"].to(["cuda:0", "cuda:1"])
    found: dict[str, Call] = {
        f"{name}.search": lambda x, index=index, **on: index.search(x, k=2, **on)
        for name, index in there.items()
    }
    return found | {
        "predict": here["clusters"].predict,
        "fit": lambda x, **on: nf.KMeans(3).fit(x, **on),
        "encode": here["quantizer"].encode,
        "train": lambda x, **on: nf.quant.ProductQuantizer(m=2, nbits=4).train(x, **on),
    }


def maps(here: dict[str, Any]) -> dict[str, Call]:
    """Return calls of an array that take no stream."""
    low = here["low"]
    return {
        "transform": low[0],
        "apply": lambda x: nf.transforms.apply(x, low, transform_ids=np.zeros(60, np.int64)),
        "transform of a search": lambda x: (
            here["flat"]
            .to("cuda")
            .search(x, k=1, transform=low, transform_ids=np.zeros(60, np.int64))
        ),
    }


def unchanged(here: dict[str, Any], standin: Standin) -> None:
    """Assert that nothing is kept and every index answers as before."""
    standin.finish()
    standin.finish(1)
    holding.let_go()
    assert holding.held() == 0
    rows = here["rows"]
    for name in ("flat", "lists", "graph"):
        there = here[name].to("cuda")
        assert there.search(rows[:3], k=1).ids.tolist() == [[0], [1], [2]], name
        assert here[name].search(rows[:3], k=1).ids.tolist() == [[0], [1], [2]], name


def test_arrays_that_are_not_taken(standin: Standin, here: dict[str, Any]) -> None:
    rows = here["rows"]
    bad: dict[str, tuple[Any, type[Exception], str]] = {
        "float64": (rows.astype(np.float64), TypeError, "got float64 on cuda:0, .*convert with"),
        "int64": (rows.astype(np.int64), TypeError, "got int64 on cuda:0, .*convert with"),
        "columns apart": (np.zeros((60, 8), np.float32)[:, ::2], ValueError, "strides.*copy with"),
        "by columns": (np.asfortranarray(rows), ValueError, "strides .*copy with"),
        "backwards": (rows[::-1], ValueError, "strides .*copy with"),
        "three axes": (rows[:, :, None], ValueError, "got shape"),
    }
    for what, (array, error, message) in bad.items():
        there = DlpackArray(standin, array)
        for name, call in (calls(here) | maps(here)).items():
            with pytest.raises(error, match=message) as caught:
                call(there)
            assert str(caught.value).split(":")[0] in ("x", "q"), (what, name)
    unchanged(here, standin)


def test_arrays_of_another_device(standin: Standin, here: dict[str, Any]) -> None:
    away = DlpackArray(standin, here["rows"], device=1)
    for name, call in calls(here).items():
        if name.endswith("search"):
            with pytest.raises(ValueError, match=r"q: got an array on cuda:1, expected .* cuda:0"):
                call(away)
    ids = DlpackArray(standin, np.zeros(60, np.int64))
    with pytest.raises(ValueError, match=r"transform_ids: got an array on cuda:0, .*copy it there"):
        nf.transforms.apply(away, here["low"], transform_ids=ids)
    unchanged(here, standin)


def test_streams_that_are_gone_or_elsewhere(standin: Standin, here: dict[str, Any]) -> None:
    x, made, away = DlpackArray(standin, here["rows"]), calls(here), standin.stream(1)
    gone = standin.stream()  # the last: another one might get its handle
    standin.destroy(gone)
    for call in made.values():
        with pytest.raises(nf.DeviceError, match=r"does not exist .any more.; pass a live stream"):
            call(x, stream=gone)
        with pytest.raises(nf.DeviceError, match="does not belong to cuda:0; pass a stream of the"):
            call(x, stream=away)
        with pytest.raises(TypeError, match="stream: got 'fast', expected None, a handle"):
            call(x, stream="fast")
    unchanged(here, standin)


@pytest.mark.parametrize("name", ["gpu", "cuda:-1", "cuda:x"])
def test_names_of_no_device(standin: Standin, here: dict[str, Any], name: str) -> None:
    rows = here["rows"]
    for call in (
        *(here[index].to for index in ("flat", "lists", "graph")),
        lambda device: here["flat"].to(["cuda:0", device]),
        lambda device: nf.KMeans(3, device=device),
        lambda device: nf.IVFIndex(DIM, 3).train(rows, device=device),
        lambda device: nf.IVFIndex(DIM, 3).add(rows, device=device),
    ):
        with pytest.raises(ValueError, match=r"device: got .*expected"):
            call(name)


def test_devices_that_are_not_there(standin: Standin, here: dict[str, Any]) -> None:
    rows, lists = here["rows"], nf.IVFIndex(DIM, 3)
    for call in (
        *(here[index].to for index in ("flat", "lists", "graph")),
        lambda device: here["flat"].to(["cuda:0", device]),
        lambda device: nf.KMeans(3, device=device).fit(rows),
        lambda device: lists.train(rows, device=device),
        lambda device: here["lists"].add(rows, device=device),
    ):
        with pytest.raises(nf.DeviceError, match="no device cuda:7: this process sees 2 devices"):
            call("cuda:7")
    assert not lists.is_trained
    unchanged(here, standin)


EVERY_CALL = """
import numpy as np, nearfield as nf
rows = np.random.default_rng(3).standard_normal((60, 4), dtype=np.float32)
lists, graph, flat = nf.IVFIndex(4, 3), nf.HNSWIndex(4, 4), nf.FlatIndex(4)
lists.train(rows)
for index in (lists, graph, flat):
    index.add(rows)
calls = {
    "lists": lambda: lists.to("cuda").search(rows, k=1),
    "graph": lambda: graph.to("cuda").search(rows, k=1),
    "shards": lambda: flat.to(["cuda:0", "cuda:0"][:1]).search(rows, k=1),
    "mapped": lambda: flat.to("cuda").search(
        rows, k=1, transform=nf.transforms.LowRank(np.ones((1, 4)), np.ones((4, 1)))),
    "graph built": lambda: nf.HNSWIndex(4, 4).to("cuda").add(rows),
    "kmeans": lambda: nf.KMeans(3, device="cuda").fit(rows),
    "train": lambda: nf.IVFIndex(4, 3).train(rows, device="cuda"),
    "add": lambda: lists.add(rows, device="cuda"),
}
"""
AND_SAY = """
def say():
    for name, call in calls.items():
        try:
            call()
            print(name, "| found")
        except nf.DeviceError as error:
            print(name, "|", str(error).replace(chr(10), " "))
    for index in (lists, graph, flat):
        assert index.search(rows[:3], k=1).ids.tolist() == [[0], [1], [2]]
    assert len(lists) == len(graph) == len(flat) == 60
"""


def said(text: str) -> dict[str, str]:
    """Return what every call said."""
    return dict(line.split(" | ", 1) for line in text.splitlines() if " | " in line)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"NEARFIELD_LIBCUDA": "/nowhere.so"}, "no CUDA driver"),
        ({"STANDIN_VERSION": "11080"}, "old CUDA driver"),
        ({"NEARFIELD_NVRTC": "/nowhere.so"}, "no NVRTC"),
        ({"STANDIN_CAPABILITY": "7.0"}, "unknown architecture"),
        ({"STANDIN_MEMORY": "40"}, "cannot allocate"),
    ],
)
def test_every_call_without_what_it_needs(
    standin_path: Path, variables: dict[str, str], message: str
) -> None:
    found = said(run(EVERY_CALL + AND_SAY + "say()", standin_path, **variables))
    assert len(found) == 8
    for name, text in found.items():
        assert message in text, (name, text)


def test_every_call_after_a_fork(standin_path: Path) -> None:
    script = """
import os
there = flat.to("cuda")
there.search(rows, k=1)
child = os.fork()
if child == 0:
    say()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    found = said(run("import sys; sys.stdout.reconfigure(line_buffering=True)\n" + EVERY_CALL
                     + AND_SAY + script, standin_path))  # fmt: skip
    assert len(found) == 8
    for name, text in found.items():
        assert "forked after CUDA had started" in text, (name, text)
        assert "spawn" in text
