"""Passages of real text: runs of whole paragraphs of 160 to 254 word pieces.

From Debian's package descriptions (the shared ``minilm-debian``) and from the manual pages of this
machine. 160 leave room around a window of 128; 254 and the two special tokens are what MiniLM
reads. Passages that are near copies of an earlier one are left out. Origin: the package or page,
which is never on both sides of a split; pages of one family of commands count as one.
"""

from __future__ import annotations

import gzip
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.quality.near_copies import without_near_copies
from bench.quality.pieces import word_pieces
from bench.quality.roff import paragraphs
from bench.quality.synopsis import families, read_documents
from bench.quality.task import SEED

SHORTEST, LONGEST = 160, 254  # word pieces
MANUAL = Path("/usr/share/man")
PER_ORIGIN = 40  # passages: no family of packages or commands may be the task


@dataclass(frozen=True)
class Passage:
    """A text, where it is from, and which number it has there."""

    text: str
    origin: str
    group: str
    number: int

    @property
    def name(self) -> str:
        """Origin and number in one word."""
        return f"{self.origin}#{self.number}"


def cut(texts: Sequence[str]) -> list[str]:
    """Join paragraphs of one document, in order, to passages that have the right length.

    A passage ends before the paragraph that would make it too long. What is then too short is left
    out, and so is a paragraph that is too long by itself.
    """
    passages: list[str] = []
    held: list[str] = []
    size = 0
    for text, pieces in zip(texts, word_pieces(texts), strict=True):
        if size + len(pieces) > LONGEST:
            passages += ["\n\n".join(held)] if size >= SHORTEST else []
            held, size = [], 0
        if len(pieces) <= LONGEST:
            held.append(text)
            size += len(pieces)
    return [*passages, *(["\n\n".join(held)] if size >= SHORTEST else [])]


def described() -> Iterator[Passage]:
    """Passages of package descriptions."""
    names, texts = read_documents()
    for name, family, text in zip(names, families(names, texts), texts, strict=True):
        if len(text) < 2 * SHORTEST:  # a piece has two characters at least, nearly always
            continue
        for number, passage in enumerate(cut(text.split("\n\n"))):
            yield Passage(passage, f"package {name}", f"package {family}", number)


def manual(folder: Path = MANUAL) -> Iterator[Passage]:
    """Passages of manual pages, those in English."""
    for path in sorted(folder.glob("man[1-8]/*")):
        name = path.name.removesuffix(".gz")
        if path.is_symlink() or not path.is_file():
            continue
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8", errors="replace") as file:
            source = file.read()
        # "git-rebase.1" is of the family git, "perldata.1" its own.
        group = "manual " + re.split(r"[-_.]", name)[0]
        for number, passage in enumerate(cut(list(paragraphs(source)))):
            yield Passage(passage, f"manual {name}", group, number)


def choose(found: Sequence[Passage], limit: int, per_group: int = PER_ORIGIN) -> list[Passage]:
    """Passages in a seeded order, none a near copy of an earlier one, few of one group."""
    order = random.Random(SEED).sample(range(len(found)), len(found))
    sizes: Counter[str] = Counter()
    few = []
    for at in order:
        if sizes[found[at].group] < 2 * per_group:  # half may turn out to be copies
            sizes[found[at].group] += 1
            few.append(found[at])
    sizes.clear()
    chosen: list[Passage] = []
    for at in without_near_copies([passage.text for passage in few], 0.5):
        if sizes[few[at].group] < per_group and len(chosen) < limit:
            sizes[few[at].group] += 1
            chosen.append(few[at])
    return chosen
