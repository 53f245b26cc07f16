"""Word pieces of texts, with where each stands: what windows are cut from.

Source: the model's own tokenizer.json, read by the ``tokenizers`` package.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from nearfield.demo.vectors import default_model


@dataclass(frozen=True)
class Pieces:
    """Word pieces of one text.

    Attributes
    ----------
    ids : list of int
        In the vocabulary; no special token among them.
    spans : list of (int, int)
        Characters of the text that each piece covers.
    begins : list of bool
        Whether a piece begins a word. Cutting before such a piece and after any piece leaves the
        pieces in between as they are: WordPiece takes the longest piece that fits, from the left.
    """

    ids: list[int]
    spans: list[tuple[int, int]]
    begins: list[bool]

    def __len__(self) -> int:
        return len(self.ids)

    def text(self, text: str, first: int, last: int) -> str:
        """The part of `text` that the pieces from `first` up to `last` cover."""
        return text[self.spans[first][0] : self.spans[last - 1][1]]


@cache
def _tokenizer(model: str) -> Any:
    tokenizers: Any = importlib.import_module("tokenizers")
    found = tokenizers.Tokenizer.from_file(str(Path(model) / "tokenizer.json"))
    found.no_truncation()
    found.no_padding()
    return found


def vocabulary_size(model: str | None = None) -> int:
    """Token ids are below this."""
    return int(_tokenizer(model or default_model()).get_vocab_size())


def word_pieces(texts: Sequence[str], model: str | None = None) -> list[Pieces]:
    """Cut texts into word pieces, whole."""
    tokenizer = _tokenizer(model or default_model())
    return [
        Pieces(row.ids, row.offsets, [not token.startswith("##") for token in row.tokens])
        for row in tokenizer.encode_batch(list(texts), add_special_tokens=False)
    ]
