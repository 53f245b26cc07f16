"""Build an index from vectors, or a retriever from texts.

INPUT is one of
  vectors.npy             rows become an index file (.npy files are mapped, not read at once)
  records.jsonl[.gz]      {"vector": [...], "id": 7} or {"text": "...", "id": "a", ...} per line
  texts.txt[.gz]          one text per line; texts need --model and become a retriever folder

  nearfield build vectors.npy -o corpus.nf --metric cosine --dtype float16
  nearfield build vectors.npy -o corpus.nf --index IVF1024,PQ48x4fs,Refine(SQfp16)
  nearfield build vectors.npy -o corpus.nf --index hnsw --m 16 --ef-construction 400
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
_TRAINING_ROWS = 1 << 17
_GRAPH = "hnsw"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("input", metavar="INPUT", help="vectors, records or texts, as above")
    parser.add_argument("-o", "--output", required=True, help="index file or retriever folder")
    parser.add_argument(
        "--metric", choices=_METRICS, help="default l2 for vectors, the model's own for texts"
    )
    parser.add_argument(
        "--dtype", choices=_DTYPES, help="type the rows are stored in, by default float32"
    )
    parser.add_argument(
        "--quantizer", metavar="NAME", help="small codes instead: sq8, sq4, pq48x4, rabitq4, ..."
    )
    parser.add_argument(
        "--refine", choices=_DTYPES, help="type in which rows are kept beside small codes"
    )
    parser.add_argument("--lists", type=int, metavar="N", help="inverted lists to put the rows in")
    parser.add_argument(
        "--index",
        metavar="WORDS",
        help="hnsw for a graph, or all of it in FAISS's words: IVF1024,PQ48x4fs,RFlat",
    )
    parser.add_argument("--m", type=int, metavar="N", help="links of a row in a graph, default 32")
    parser.add_argument(
        "--ef-construction",
        type=int,
        metavar="N",
        help="rows among which these are chosen, default 200",
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
    kept = report["refine"]
    stored = report["dtype"] if kept is None else f"{report['dtype']} and {kept}"
    output.line(
        f"{arguments.output}: {report['rows']:,} rows of {report['dim']} ({report['metric']}, "
        f"{stored}), {size(report['nbytes'])} in memory, {report['seconds']:.1f} s"
    )
    output.result(report)
    return 0


def _build_index(arguments: argparse.Namespace, records: Records) -> dict[str, Any]:
    from ..hnsw import HNSWIndex
    from ..progress import bar

    rows = records.vectors
    assert rows is not None
    if arguments.model:
        raise ValueError(f"{arguments.input} holds vectors; --model is for texts")
    labels = _integer_labels(records.ids, len(rows))
    index = _empty_index(arguments, rows.shape[1], arguments.metric or "l2")
    _train(index, rows, arguments.input)
    step = max(1, _CHUNK_BYTES // max(1, rows.shape[1] * rows.itemsize))
    if isinstance(index, HNSWIndex):
        step = max(1, len(rows))  # a graph of all rows at once is made sooner than row by row
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
    from ..retriever import Retriever

    if not records.texts:
        raise ValueError(f"{arguments.input} holds no text")
    if not arguments.model:
        raise ValueError(f"{arguments.input} holds texts; name a model with --model")
    if os.path.isfile(arguments.output):
        raise ValueError(f"{arguments.output} is a file; texts become a folder")
    encoder = Encoder(arguments.model, pooling=arguments.pooling)
    metric: Any = arguments.metric or encoder.metric
    index = _empty_index(arguments, encoder.dim, metric)
    retriever = Retriever(encoder, index)
    retriever.add(records.texts, ids=records.ids, payload=records.payload)
    retriever.save(arguments.output)
    return _described(index)


def _empty_index(arguments: argparse.Namespace, dim: int, metric: Any) -> Any:
    from ..factory import index_factory
    from ..flat import FlatIndex
    from ..hnsw import HNSWIndex
    from ..ivf import IVFIndex

    graph = {
        name: value
        for name in ("m", "ef_construction")
        if (value := getattr(arguments, name)) is not None
    }
    if arguments.index not in (None, _GRAPH):
        for part in ("quantizer", "refine", "lists", "dtype", *graph):
            if getattr(arguments, part) is not None:
                raise ValueError(f"--index says all of it; leave {_option(part)} out")
        return index_factory(arguments.index, dim, metric)
    if arguments.quantizer is not None and arguments.dtype is not None:
        raise ValueError("--quantizer stores codes and --dtype rows; leave one of them out")
    coding = {
        "quantizer": arguments.quantizer or arguments.dtype or "float32",
        "refine": arguments.refine,
    }
    if arguments.index == _GRAPH:
        if arguments.lists is not None:
            raise ValueError(f"--index {_GRAPH} has no lists; leave --lists out")
        return HNSWIndex(dim, metric=metric, **graph, **coding)
    if graph:
        raise ValueError(f"{_option(next(iter(graph)))} is of a graph; add --index {_GRAPH}")
    if arguments.lists is None:
        return FlatIndex(dim, metric, **coding)
    return IVFIndex(dim, arguments.lists, metric, **coding)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _train(index: Any, rows: Any, name: str) -> None:
    """Train on a spread of the rows, so that a file larger than memory need not be read whole."""
    if index.is_trained:
        return
    lists = getattr(index, "nlist", 0)
    step = max(1, len(rows) // max(_TRAINING_ROWS, 256 * lists))
    try:
        index.train(rows[::step])
    except (TypeError, ValueError) as error:
        where = f", every {step} rows" if step > 1 else ""
        raise type(error)(f"{name}{where}: {error}") from None


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
        "refine": index.refine,
        "nbytes": index.nbytes,
    }
