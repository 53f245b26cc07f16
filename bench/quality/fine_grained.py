"""LexSemBridge's fine-grained tasks by our definitions: part of a passage, and its key words.

* pop-n: a contiguous window of n word pieces of the passage, at a seeded random offset among those
  that begin a word; pop-n@0 is the window at the start. A window that also stands in another
  passage is not used, so that its own passage is the only right answer.
* keyword: the five terms of the passage of highest tf * log(N / df) over the corpus, stop words
  left out, in a seeded random order. Terms are words of letters and digits, three characters at
  least. Skipped where another passage has all five.

Each query has one relevant passage, of grade 1. Whatever is drawn depends on the seed, the kind and
the passage's row alone.

Source: LexSemBridge (the builders themselves are not published); window and term counts as there.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bench.quality.pieces import Pieces, word_pieces
from bench.quality.task import SEED

WINDOWS = (16, 32, 64, 128)
KEY_TERMS = 5
KINDS = ("keyword", *(f"pop-{n}" for n in WINDOWS))
AT_START = tuple(f"pop-{n}@0" for n in WINDOWS)
_TERM = re.compile(r"[^\W_]{3,}")
_STOP_WORDS = """
the and for are but not you all any can had has have was were will with this that these those
from they them their there then than what when where which while who whom whose why how its into
onto out over under again further once here both each few more most other some such only own
same too very just should would could may might must shall does did doing done been being about
above after against before below between during off per through until upon use used uses using
also because however one two see our your his her him she hers ours yours
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())


@dataclass(frozen=True)
class Query:
    """A query, the row of its passage, and the offset of its window in word pieces."""

    text: str
    row: int
    offset: int


class Builder:
    """Makes the queries of one corpus.

    Parameters
    ----------
    texts : sequence of str
        The passages.
    seed : int
        Of everything drawn.
    """

    def __init__(self, texts: Sequence[str], seed: int = SEED) -> None:
        self.texts = list(texts)
        self.seed = seed
        self._pieces = word_pieces(self.texts)
        self._terms = [Counter(_TERM.findall(text.lower())) for text in self.texts]
        self._rows_of: dict[str, set[int]] = {}
        for row, terms in enumerate(self._terms):
            for term in terms:
                self._rows_of.setdefault(term, set()).add(row)
        self._windows: dict[int, Counter[int]] = {}

    def make(self, kind: str, rows: Sequence[int], limit: int | None = None) -> list[Query]:
        """One query of a kind ("keyword", "pop-16", "pop-16@0") for each row that allows it.

        Parameters
        ----------
        kind : str
            One of `KINDS` or `AT_START`.
        rows : sequence of int
            Passages, in the order they are tried.
        limit : int, optional
            Stop after so many queries.
        """
        if kind not in (*KINDS, *AT_START):
            raise ValueError(f"kind: got {kind!r}, expected one of {(*KINDS, *AT_START)}")
        made: list[Query] = []
        for row in rows:
            query = self._keywords(row) if kind == "keyword" else self._window(kind, row)
            if query is not None:
                made.append(query)
            if limit is not None and len(made) == limit:
                break
        return made

    def _rng(self, kind: str, row: int) -> random.Random:
        return random.Random(f"{self.seed} {kind} {row}")

    def _keywords(self, row: int) -> Query | None:
        count = len(self.texts)
        weights = {
            term: times * math.log(count / len(self._rows_of[term]))
            for term, times in self._terms[row].items()
            if term not in STOP_WORDS and not term.isdigit()
        }
        best = sorted(weights, key=lambda term: (-weights[term], term))[:KEY_TERMS]
        if len(best) < KEY_TERMS:
            return None
        if set.intersection(*(self._rows_of[term] for term in best)) != {row}:
            return None
        self._rng("keyword", row).shuffle(best)
        return Query(" ".join(best), row, -1)

    def _window(self, kind: str, row: int) -> Query | None:
        size = int(kind.removeprefix("pop-").removesuffix("@0"))
        pieces, seen = self._pieces[row], self._seen(size)
        offsets = [
            at
            for at in range(len(pieces) - size + 1)
            if pieces.begins[at] and seen[_key(pieces, at, size)] == 1
        ]
        if kind.endswith("@0"):
            offsets = [at for at in offsets if at == 0]
        if not offsets:
            return None
        offset = self._rng(kind, row).choice(offsets)
        text = pieces.text(self.texts[row], offset, offset + size)
        # A cut can change how the text before it is read (an accent, a very long word): not used.
        if word_pieces([text])[0].ids != pieces.ids[offset : offset + size]:
            return None
        return Query(text, row, offset)

    def _seen(self, size: int) -> Counter[int]:
        """In how many passages each window of `size` pieces stands."""
        if size not in self._windows:
            self._windows[size] = Counter(
                key
                for pieces in self._pieces
                for key in {_key(pieces, at, size) for at in range(len(pieces) - size + 1)}
            )
        return self._windows[size]


def _key(pieces: Pieces, first: int, size: int) -> int:
    # Two windows of one hash count as equal: that only ever leaves a window out.
    return hash(tuple(pieces.ids[first : first + size]))
