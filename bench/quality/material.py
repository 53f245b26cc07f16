"""The fine-grained tasks on passages of this machine, and training queries on other passages.

Groups of passages (families of packages or commands) are dealt to two sides. One side's passages
are the corpus that every task searches; the other side's are the corpus of the training queries,
one query a passage, the kinds in turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.quality.fine_grained import AT_START, KINDS, Builder, Query
from bench.quality.passages import Passage, choose, described, manual
from bench.quality.task import SEED, Task, folds

PASSAGES = 5_000  # on each side, at most
QUERIES = 2_000  # of a kind, at most


@dataclass(frozen=True)
class Material:
    """What the modulation table is made from.

    Attributes
    ----------
    tasks : list of Task
        Keyword, pop-16 to pop-128, then the same windows at the start; one corpus for all.
    training : list of Task
        One for each of `KINDS`, on the other side's passages.
    """

    tasks: list[Task]
    training: list[Task]


def gather() -> list[Passage]:
    """Every passage of package descriptions and manual pages."""
    return [*described(), *manual()]


def material(
    found: Iterable[Passage] | None = None, passages: int = PASSAGES, queries: int = QUERIES
) -> Material:
    """Make the tasks.

    Parameters
    ----------
    found : iterable of Passage, optional
        Default: those of `gather`.
    passages : int
        On each side, at most.
    queries : int
        Of a kind, at most.
    """
    chosen = choose(gather() if found is None else list(found), 2 * passages)
    side = folds([passage.group for passage in chosen], 2)
    asked, taught = ([p for p, at in zip(chosen, side, strict=True) if at == s] for s in (0, 1))
    return Material(
        tasks=_tasks(asked[:passages], (*KINDS, *AT_START), queries, apart=False),
        training=_tasks(taught[:passages], KINDS, passages, apart=True),
    )


def _tasks(
    passages: Sequence[Passage], kinds: Sequence[str], limit: int, apart: bool
) -> list[Task]:
    builder = Builder([passage.text for passage in passages])
    tasks = []
    for at, kind in enumerate(kinds):
        rows = range(at, len(passages), len(kinds)) if apart else range(len(passages))
        made = builder.make(kind, rows, limit)
        tasks.append(_task(kind, passages, made))
    return tasks


def _task(kind: str, passages: Sequence[Passage], made: Sequence[Query]) -> Task:
    named = [passages[query.row] for query in made]
    return Task(
        name=kind,
        corpus=[passage.text for passage in passages],
        queries=[query.text for query in made],
        relevant=[[query.row] for query in made],
        groups=[passage.group for passage in named],
        corpus_ids=[passage.name for passage in passages],
        query_ids=[
            f"{p.name}@{q.offset}" if q.offset >= 0 else f"{p.name}: {q.text}"
            for p, q in zip(named, made, strict=True)
        ],
        about={
            "seed": SEED,
            "from_packages": sum(p.origin.startswith("package") for p in passages),
            "from_manual_pages": sum(p.origin.startswith("manual") for p in passages),
        },
    )
