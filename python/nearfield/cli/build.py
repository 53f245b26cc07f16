"""Build an index from vectors, or a retriever from texts.

INPUT is one of
  vectors.npy             rows become an index file (.npy files are mapped, not read at once)
  records.jsonl[.gz]      {"vector": [...], "id": 7} or {"text": "...", "id": "a", ...} per line
  texts.txt[.gz]          one text per line; texts need --model and become a retriever folder

  nearfield build vectors.npy -o corpus.nf --metric cosine --dtype float16
  nearfield build texts.txt -o notes --model sentence-transformers/all-MiniLM-L6-v2
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

import numpy as np

from .output import Output, size
from .vector_files import Records, read_ids, read_records

SUMMARY = "build an index from vectors, or a retriever from texts"

_METRICS = ("l2", "ip", "cosine")
_DTYPES = ("float32", "float16", "bfloat16", "int8", "uint8")
_CHUNK_BYTES = 64 << 20  # rows handed to the index at a time


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("input", metavar="INPUT", help="vectors, records or texts, as above")
    parser.add_argument("-o", "--output", required=True, help="index file or retriever folder")
    parser.add_argument(
        "--metric", choices=_METRICS, help="default l2 for vectors, the model's own for texts"
    )
    parser.add_argument(
        "--dtype", choices=_DTYPES, default="float32", help="type the rows are stored in"
    )
    parser.add_argument("--ids", metavar="FILE", help=".npy of integers, or one id per line")
    parser.add_argument("--model", help="HuggingFace name or folder; needed for texts")
    parser.add_argument("--pooling", help="how the model pools, where it does not say itself")
    parser.add_argument("--force", action="store_true", help="replace an existing output")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Run the command."""
    if os.path.exists(arguments.output) and not arguments.force:
        raise ValueError(f"{arguments.output} exists; pass --force to replace it")
    begin = time.perf_counter()
    records = read_records(arguments.input)
    if arguments.ids:
        records.ids = read_ids(arguments.ids)
    if records.vectors is not None:
        report = _build_index(arguments, records)
    else:
        report = _build_retriever(arguments, records)
    report |= {"output": arguments.output, "seconds": time.perf_counter() - begin}
    output.line(
        f"{arguments.output}: {report['rows']:,} rows of {report['dim']} ({report['metric']}, "
        f"{report['dtype']}), {size(report['nbytes'])} in memory, {report['seconds']:.1f} s"
    )
    output.result(report)
    return 0


def _build_index(arguments: argparse.Namespace, records: Records) -> dict[str, Any]:
    from ..flat import FlatIndex
    from ..progress import bar

    rows = records.vectors
    assert rows is not None
    if arguments.model:
        raise ValueError(f"{arguments.input} holds vectors; --model is for texts")
    labels = _integer_labels(records.ids, len(rows))
    index = FlatIndex(rows.shape[1], arguments.metric or "l2", quantizer=arguments.dtype)
    step = max(1, _CHUNK_BYTES // max(1, rows.shape[1] * rows.itemsize))
    with bar(len(rows), "Adding") as advance:
        for first in range(0, len(rows), step):
            part = rows[first : first + step]
            try:
                index.add(part, ids=labels[first : first + step])
            except (TypeError, ValueError) as error:
                where = f" from row {first} on" if first else ""
                raise type(error)(f"{arguments.input}{where}: {error}") from None
            advance(len(part))
    index.save(arguments.output)
    return _described(index)


def _build_retriever(arguments: argparse.Namespace, records: Records) -> dict[str, Any]:
    from ..encoders import Encoder
    from ..flat import FlatIndex
    from ..retriever import Retriever

    if not records.texts:
        raise ValueError(f"{arguments.input} holds no text")
    if not arguments.model:
        raise ValueError(f"{arguments.input} holds texts; name a model with --model")
    if os.path.isfile(arguments.output):
        raise ValueError(f"{arguments.output} is a file; texts become a folder")
    encoder = Encoder(arguments.model, pooling=arguments.pooling)
    metric: Any = arguments.metric or encoder.metric
    index = FlatIndex(encoder.dim, metric, quantizer=arguments.dtype)
    retriever = Retriever(encoder, index)
    retriever.add(records.texts, ids=records.ids, payload=records.payload)
    retriever.save(arguments.output)
    return _described(index)


def _integer_labels(ids: list[Any] | None, n: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    from ..arrays import as_labels

    if ids is None:
        return np.arange(n, dtype=np.int64)
    if len(ids) != n:
        raise ValueError(f"ids: got {len(ids)}, expected {n}, one per row")
    for at, value in enumerate(ids):
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"ids: row {at} has {value!r}; an index file takes integers only")
    return as_labels(ids, name="ids")


def _described(index: Any) -> dict[str, Any]:
    return {
        "rows": len(index),
        "dim": index.dim,
        "metric": index.metric,
        "dtype": index.quantizer,
        "nbytes": index.nbytes,
    }
