"""Records of a run: one flat row per method, setting and point, as JSON lines and as CSV.

The first JSON line is the header (kind "header"); in the CSV it is comment lines that start with #.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

Header = dict[str, Any]
RECORDS = "records.jsonl"
SUBJECT = "nearfield"


@dataclass(frozen=True)
class Record:
    """One measured point of one method.

    Attributes
    ----------
    qps, qps_low, qps_high : float
        Median, slowest and fastest block, in queries per second.
    recall : float or None
        Tie-aware recall at k over the judged queries.
    threads, threads_used : int
        Asked for, and used: one query at a time, every method gets the better of one and all.
    timed_batch : int
        Smaller than ``batch`` where a chunked method was timed on part of it.
    bytes_per_vector : float
        Growth of resident memory while building; excludes the caller's array, see ``borrows_base``.
    foreign_cores : float
        Cores kept busy by other processes during the timed blocks.
    """

    method: str
    family: str
    params: dict[str, Any]
    data: str
    n: int
    dim: int
    metric: str
    k: int
    batch: int
    threads: int
    threads_used: int
    timed_batch: int
    qps: float
    qps_low: float
    qps_high: float
    repeats: int
    foreign_cores: float
    recall: float | None
    judged: int
    build_s: float
    bytes_per_vector: float
    borrows_base: bool
    isa: str
    version: str

    @property
    def exact(self) -> bool:
        """Whether the answers were measured to be exact (not whether the method claims so)."""
        return self.recall is not None and self.recall >= 0.99999

    @property
    def ours(self) -> bool:
        """Whether this is nearfield, in whatever storage and at whatever level."""
        return self.method.startswith(SUBJECT)


def start(folder: Path, header: Header) -> None:
    """Make the folder and write the header."""
    folder.mkdir(parents=True, exist_ok=True)
    line = json.dumps({"kind": "header", **header})
    (folder / RECORDS).write_text(line + "\n", encoding="utf-8")


def append(folder: Path, records: Sequence[Record]) -> None:
    """Add records, so that a run that is stopped leaves what it has."""
    with open(folder / RECORDS, "a", encoding="utf-8") as out:
        for record in records:
            out.write(json.dumps({"kind": "record", **asdict(record)}) + "\n")


def read(folder: Path) -> tuple[Header, list[Record]]:
    """Read a run back.

    Raises
    ------
    FileNotFoundError
        If the folder holds no run.
    """
    path = folder / RECORDS
    if not path.is_file():
        raise FileNotFoundError(f"no run in {str(folder)!r}: expected a file {RECORDS} there")
    header: Header = {}
    records: list[Record] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row.pop("kind") == "header":
            header = row
        else:
            records.append(Record(**row))
    return header, records


def write_csv(folder: Path) -> Path:
    """Write ``records.csv`` from the JSON lines."""
    header, records = read(folder)
    path = folder / "records.csv"
    with open(path, "w", newline="", encoding="utf-8") as out:
        for key, value in header.items():
            out.write(f"# {key}: {value if isinstance(value, str) else json.dumps(value)}\n")
        writer = csv.DictWriter(out, [field.name for field in fields(Record)])
        writer.writeheader()
        for record in records:
            writer.writerow({**asdict(record), "params": json.dumps(record.params)})
    return path
