"""kill -9 during save, at random times: afterwards there is the old file or the new one, whole.

NEARFIELD_KILLS sets the number of kills (100 by default).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from reliability.child import call

KILLS = int(os.environ.get("NEARFIELD_KILLS", "100"))


@pytest.mark.parametrize(
    ("nlist", "storage", "m"),
    [
        *((0, "float32", 0), (40, "float32", 0), (40, "sq8-float16-residual", 0)),
        (0, "float32", 8),
    ],
    ids=["flat", "ivf", "coded", "hnsw"],
)
@pytest.mark.parametrize("durable", [True, False], ids=["durable", "not durable"])
def test_killed_writers_leave_a_whole_file(
    tmp_path: Path, durable: bool, nlist: int, storage: str, m: int
) -> None:
    args = (str(tmp_path), KILLS // 2, 20_000, durable, 7, nlist, storage, m)
    found = call("reliability.killing:rounds", *args, timeout=800)
    print(f"{found['kills']} kills:", found["phases"])
    assert found["wrong"] == []
    assert found["litter"] == ["index.nf"], "the next save removes what dead ones left"
    assert sum(found["phases"].values()) == KILLS // 2
    inside = KILLS // 2 - found["phases"].get("between two saves", 0)
    assert inside >= KILLS // 8, "too few kills landed inside a save to prove anything"


def test_leftovers_of_dead_writers_go_and_files_of_others_stay(tmp_path: Path) -> None:
    import nearfield as nf

    names = [".a.nf.1-1.nftmp", ".a.nf.99999-12.nftmp"]
    others = [".b.nf.1-1.nftmp", ".a.nf.x.nftmp", ".a.nf.1-1.nftmp.bak", "a.nf.1-1.nftmp", ".a.nf"]
    for name in (*names, *others):
        (tmp_path / name).write_bytes(b"left")
    nf.FlatIndex(2).save(tmp_path / "a.nf")
    assert sorted(os.listdir(tmp_path)) == sorted(["a.nf", *others])
