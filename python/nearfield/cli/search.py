"""Search an index file or a retriever folder.

QUERY is a .npy file of vectors for an index file; for a retriever folder it is a question, or a
.txt or .jsonl file of questions (both may be gzipped).

  nearfield search corpus.nf queries.npy -k 10
  nearfield search notes "which container forgets duplicates"
"""

from __future__ import annotations

import argparse
import os
from typing import Any

from .output import Output
from .vector_files import read_records, read_vectors

SUMMARY = "search an index file or a retriever folder"

_LONGEST = 100  # characters of a text shown in a table


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("index", metavar="INDEX", help="index file or retriever folder")
    parser.add_argument("query", metavar="QUERY", help="queries, as above")
    parser.add_argument("-k", type=int, default=10, help="results per query (default 10)")
    parser.add_argument(
        "--recall", type=float, help="share of the nearest rows to find, in a tuned index file"
    )
    parser.add_argument("--threads", type=int, help="threads for the search")
    parser.add_argument("--mmap", action="store_true", help="map the index file, do not read it")
    parser.add_argument("--model", help="encoder of the questions, if not the stored one")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Run the command."""
    holds_texts = os.path.isdir(arguments.index)
    results = _search_texts(arguments) if holds_texts else _search_vectors(arguments)
    columns = ["query", "rank", "score", "id", *(["text"] if holds_texts else [])]
    rows = [
        (_shown(result["query"]), rank, f"{hit['score']:.6g}", hit["id"], _shown(hit.get("text")))
        for result in results
        for rank, hit in enumerate(result["hits"], 1)
    ]
    output.table(columns, [row[: len(columns)] for row in rows])
    output.result({"k": arguments.k, "results": results})
    return 0


def _search_vectors(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    from ..arguments import as_positive, as_threads
    from ..files import load

    if not os.path.exists(arguments.index):
        raise FileNotFoundError(2, "no such index file or retriever folder", arguments.index)
    index = load(arguments.index, mmap=arguments.mmap)
    if not arguments.query.endswith(".npy"):
        raise ValueError(
            f"{arguments.index} is an index of vectors: queries come from a .npy file, got "
            f"{arguments.query!r}"
        )
    if arguments.model:
        raise ValueError(f"{arguments.index} is an index of vectors; --model is for texts")
    queries = read_vectors(arguments.query)
    k, threads = as_positive(arguments.k, name="k"), as_threads(arguments.threads)
    try:
        found = index.search(queries, k, recall=arguments.recall, threads=threads or None)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{arguments.query}: {error}") from None
    return [
        {
            "query": at,
            "hits": [
                {"id": int(label), "score": float(score)}
                for label, score in zip(ids[:count], scores[:count], strict=True)
            ],
        }
        for at, (ids, scores, count) in enumerate(
            zip(found.ids, found.scores, found.counts, strict=True)
        )
    ]


def _search_texts(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    if arguments.recall is not None:
        raise ValueError(f"{arguments.index} is a retriever; --recall is for index files")
    from ..encoders import Encoder
    from ..retriever import Retriever

    questions = [arguments.query]
    if os.path.isfile(arguments.query):
        questions = read_records(arguments.query).texts or []
        if not questions:
            raise ValueError(f"{arguments.query} holds no question")
    encoder = Encoder(arguments.model) if arguments.model else None
    retriever = Retriever.load(arguments.index, encoder)
    answers = retriever.search(questions, arguments.k, threads=arguments.threads)
    return [
        {"query": question, "hits": [hit._asdict() for hit in hits]}
        for question, hits in zip(questions, answers, strict=True)
    ]


def _shown(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
