"""Search the Python standard library by meaning.

Every public function, class and method (at module level or in a public class) of this interpreter
becomes a document: its name and source without docstrings. A docstring's first sentence is a
question nobody wrote for this. The first run encodes everything with a small real model (minutes);
later runs take the vectors from $XDG_CACHE_HOME/nearfield.

  nearfield demo                                  the whole tour
  nearfield demo "how do I merge sorted lists"    the answer to one question
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .output import Output, size, spell_seconds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..demo.measures import Questions
    from ..demo.stdlib import Document
    from ..demo.vectors import TextVectors

SUMMARY = "search the Python standard library by meaning, and measure it"

_QUESTIONS = (
    "how do I merge several sorted lists into one",
    "read a file line by line from a zip archive",
    "find the closest matching words to a misspelled one",
    "run a function every few seconds in the background",
)
_METRICS = ("hit@1", "hit@5", "hit@10", "ndcg@10")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("question", nargs="?", help="answer this question and nothing else")
    parser.add_argument("--model", help="any HuggingFace model (default: the installed MiniLM)")
    parser.add_argument("--pooling", help="how the model pools, where it does not say itself")
    parser.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="precision of the model; auto takes bfloat16 where the CPU multiplies it (default)",
    )
    parser.add_argument("-k", type=_positive, default=3, help="answers per question (default 3)")
    parser.add_argument("--limit", type=_positive, metavar="N", help="use N documents only")
    parser.add_argument("--no-cache", action="store_true", help="neither read nor write vectors")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Run the command."""
    from ..demo.vectors import TextVectors, default_model
    from ..flat import FlatIndex

    vectors = TextVectors(
        arguments.model or default_model(),
        arguments.dtype,
        cached=not arguments.no_cache,
        pooling=arguments.pooling,
    )
    begin = time.perf_counter()
    documents = _read(arguments.limit, output)
    read = time.perf_counter()
    rows = vectors.encode([document.text for document in documents], "document", "Documents")
    index = FlatIndex(rows.shape[1], "cosine")
    index.add(rows)
    built = time.perf_counter()
    output.line(_told(vectors, rows, built - read))
    report: dict[str, Any] = {
        "documents": len(documents),
        "dim": int(rows.shape[1]),
        "model": vectors.model,
        "seconds": {"read": read - begin, "encode": built - read},
    }
    asked = [arguments.question] if arguments.question else list(_QUESTIONS)
    report["answers"] = _answer(asked, documents, vectors, index, arguments.k, output)
    if not arguments.question:
        report |= _measure(documents, vectors, rows, index, output)
    report["seconds"]["total"] = time.perf_counter() - begin
    output.line(f"\nDone in {report['seconds']['total']:.1f} s.")
    output.result(report)
    return 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"got {text}, expected a positive number")
    return value


def _read(limit: int | None, output: Output) -> list[Document]:
    from ..demo.stdlib import read_library, source_files
    from ..progress import bar

    with bar(len(source_files()), "Reading", "file") as advance:
        documents = read_library(advance=advance)
    if limit is not None and limit < len(documents):
        step = len(documents) / limit  # evenly spaced: every part of the library stays in
        documents = [documents[int(at * step)] for at in range(limit)]
    if not documents:
        raise ValueError("the interpreter's standard library has no source files here")
    kinds = [document.kind for document in documents]
    counts = ", ".join(f"{kinds.count(kind):,} {kind}" for kind in ("function", "class", "method"))
    output.line(f"{len(documents):,} documents from the standard library ({counts})")
    return documents


def _told(vectors: TextVectors, rows: NDArray[np.float32], seconds: float) -> str:
    name = Path(vectors.model).parent.name if Path(vectors.model).is_dir() else vectors.model
    if not vectors.encoded:
        return f"{len(rows):,} x {rows.shape[1]} vectors of {name}, from the cache"
    rate = vectors.encoded / seconds
    return (
        f"{len(rows):,} x {rows.shape[1]} vectors of {name} in {seconds:.1f} s "
        f"({rate:.0f} texts/s, {vectors.encoder.dtype} on {vectors.encoder.device})"
    )


def _answer(
    questions: list[str],
    documents: list[Document],
    vectors: TextVectors,
    index: Any,
    k: int,
    output: Output,
) -> list[dict[str, Any]]:
    found = index.search(vectors.encode(questions, "query", "Questions"), k)
    answers = []
    for at, question in enumerate(questions):
        hits = [
            {"name": documents[row].name, "score": float(score), "at": _where(documents[row])}
            for row, score in zip(found.ids[at], found.scores[at], strict=True)
            if row >= 0
        ]
        output.heading(question)
        output.table(
            ("score", "name", "where"),
            [(f"{hit['score']:.3f}", hit["name"], hit["at"]) for hit in hits],
        )
        answers.append({"question": question, "hits": hits})
    return answers


def _where(document: Document) -> str:
    return f"{document.file}:{document.line}"


def _measure(
    documents: list[Document],
    vectors: TextVectors,
    rows: NDArray[np.float32],
    index: Any,
    output: Output,
) -> dict[str, Any]:
    from ..demo.measures import collect_questions, reload_check, time_search

    questions = collect_questions(documents)
    if not questions.texts:
        return {}
    asked = vectors.encode(questions.texts, "query", "Docstrings")
    quality = _quality(questions, index.search(asked, 10), len(documents), output)
    timings, absent = time_search(index, rows, asked)
    output.heading(f"Exact search, top 10 of {len(rows):,} (median of 5, taking turns)")
    best = {t.batch: t.seconds for t in timings if t.name == "nearfield"}
    output.table(
        ("batch", "library", "time", "queries/s", "time / nearfield's"),
        [
            (
                f"{t.batch:,}",
                t.name,
                spell_seconds(t.seconds),
                f"{t.queries_per_second:,.0f}",
                f"{t.seconds / best[t.batch]:.2f}",
            )
            for t in timings
        ],
    )
    for name in absent:
        output.line(f"{name} is not installed: not timed (pip install {name})")
    reload = reload_check(index, asked)
    output.heading("Saved and loaded again")
    same = "identical" if reload.identical else "DIFFERENT"
    output.line(
        f"{size(reload.file_bytes)}, saved in {spell_seconds(reload.save_seconds)}, loaded in "
        f"{spell_seconds(reload.load_seconds)}; answers to {len(asked):,} questions: {same}"
    )
    if not reload.identical:
        raise ValueError("the loaded index answers differently from the saved one")
    return {
        "questions": len(questions.texts),
        "quality": quality,
        "timings": [vars(t) | {"queries_per_second": t.queries_per_second} for t in timings],
        "not_installed": absent,
        "reload": vars(reload),
    }


def _quality(questions: Questions, found: Any, n: int, output: Output) -> dict[str, float]:
    from ..evaluate import evaluate

    quality = evaluate(found, questions.qrels, _METRICS)
    output.heading(
        f"{len(questions.texts):,} docstring sentences as questions over {n:,} documents"
    )
    output.table(_METRICS, [[f"{quality[name]:.3f}" for name in _METRICS]])
    return quality
