"""Processes: forks of a process with threads, and indexes that travel to other processes.

NEARFIELD_FORKS sets the number of forks (200 by default).
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import nearfield as nf
import pytest
from reliability.child import call
from reliability.samples import KINDS, build, queries_of

FORKS = int(os.environ.get("NEARFIELD_FORKS", "200"))


@pytest.mark.parametrize("other", ["nothing", "searching", "adding"])
def test_forks_of_a_process_with_threads_answer(other: str) -> None:
    count = FORKS // 2 if other == "nothing" else FORKS // 4
    ends = call("reliability.forking:forks", count, other, timeout=850)
    print(f"{count} forks while another thread did {other}: {ends}")
    assert ends == {"right": count}


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools_of_processes(method: str) -> None:
    found = call("reliability.forking:pools", method, timeout=120)
    assert found["equal"] == [True] * 4


@pytest.mark.parametrize(("metric", "storage"), KINDS)
def test_pickled_indexes_answer_the_same(tmp_path: Path, metric: str, storage: str) -> None:
    index = build(metric, storage, True, n=40, dim=24)
    index.save(tmp_path / "index.nf")
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        data = pickle.dumps(index, protocol)
        again = pickle.loads(data)
        assert isinstance(again, nf.FlatIndex)
        for got, expected in zip(
            again.search(queries_of(3, 24), k=41),
            index.search(queries_of(3, 24), k=41),
            strict=True,
        ):
            assert got.tobytes() == expected.tobytes()
        if protocol > 2:  # which has no bytes of its own
            assert len(data) < (tmp_path / "index.nf").stat().st_size + 300


def test_a_damaged_pickle_is_refused() -> None:
    data = pickle.dumps(build("l2", "float32", True, n=40, dim=24))
    with pytest.raises(nf.CorruptFileError):
        pickle.loads(data.replace(b"NFX\r", b"NFX\n"))
    damaged = bytearray(data)
    damaged[len(data) - 100] ^= 1
    with pytest.raises(nf.CorruptFileError):
        pickle.loads(bytes(damaged))
