"""Command line of the quality tables: encode, adapters, modulation, upgrade."""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.pareto.environment import header
from bench.quality import (
    adapters,
    adapters_report,
    fits,
    modulation,
    modulation_report,
    report,
    upgrade,
)
from bench.quality.docstrings import docstring_task
from bench.quality.embeddings import Embeddings
from bench.quality.material import Material, material
from bench.quality.pieces import vocabulary_size
from bench.quality.synopsis import synopsis_task, synopsis_vectors
from bench.quality.task import Task, Vectors, ungrouped

WORK = Path("build/quality")
TASKS = ("synopsis", "docstring")
SHORT, LONG = 128, 256  # tokens that functions, and passages with their parts, are cut to


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.quality", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    encode = commands.add_parser("encode", help="make the tasks and all vectors they need")
    study = commands.add_parser("adapters", help="fit and judge adapters on one task")
    lexical = commands.add_parser("modulation", help="fit and judge lexical modulation")
    newer = commands.add_parser("upgrade", help="fit and judge maps between two models")
    for command in (encode, study, lexical, newer):
        command.add_argument("--work", type=Path, default=WORK, help="folder of the vectors")
        command.add_argument("--dtype", default="auto", help="precision of the encoder")
    for command in (study, lexical, newer):
        command.add_argument("--out", type=Path, required=True, help="folder of the results")
    for command in (study, lexical):
        command.add_argument("--seeds", type=int, default=5)
        command.add_argument(
            "--fit", type=json.loads, default={}, help="arguments of the fit, as '{\"epochs\": 10}'"
        )
    add = study.add_argument
    add("--task", choices=TASKS, required=True)
    add("--forms", default="all", help="comma list of " + ", ".join(f.name for f in fits.FORMS))
    add("--sizes", type=int, nargs="*", default=list(adapters.SIZES), help="training queries")
    add("--curve-seeds", type=int, default=2, help="seeds of the training-size curve")
    add("--control-seeds", type=int, default=2, help="seeds of the shuffled control")
    add("--no-bm25", action="store_true", help="without BM25 and fusion")
    add("--split", choices=("groups", "queries"), default="groups", help="what stays in one fold")
    encode.add_argument("--task", choices=[*TASKS, "fine-grained", "all"], default="all")
    lexical.add_argument("--modes", default=",".join(modulation.MODES))
    newer.add_argument("--pooling", default="cls", help="of the new model")
    newer.add_argument("--pairs", type=int, nargs="+", default=list(upgrade.PAIRS))
    return parser


def vectors_of(task: Task, made: Embeddings) -> tuple[Vectors, Vectors]:
    """Vectors of queries and corpus."""
    if task.name == "synopsis":
        return synopsis_vectors()
    return (
        made.vectors(task.queries, f"{task.name}-queries", SHORT),
        made.vectors(task.corpus, f"{task.name}-corpus", SHORT),
    )


def encoded(tasks: Sequence[Task], made: Embeddings, label: str) -> list[modulation.Encoded]:
    """Tasks on one corpus with all their vectors and tokens."""
    corpus = made.vectors(tasks[0].corpus, f"{label}-corpus", LONG)
    return [
        modulation.Encoded(
            task, made.token_states(task.queries, f"{label}-{task.name}", LONG), corpus
        )
        for task in tasks
    ]


def run_encode(args: argparse.Namespace, made: Embeddings) -> None:
    """Make what the other two commands would make on the way."""
    begin = time.perf_counter()
    if args.task in ("docstring", "all"):
        vectors_of(_told(docstring_task()), made)
    if args.task in ("fine-grained", "all"):
        _encoded_material(made)
    print(f"encoded in {time.perf_counter() - begin:,.0f} s", flush=True)


def run_adapters(args: argparse.Namespace, made: Embeddings) -> None:
    """Fit, judge, write."""
    forms = fits.FORMS if args.forms == "all" else fits.named(args.forms)
    task = _told({"synopsis": synopsis_task, "docstring": docstring_task}[args.task]())
    if args.split == "queries":
        task = ungrouped(task)
    about = _header("adapters", args)
    judge = fits.judged(functools.partial(fits.adapter, **args.fit))
    words = json.dumps(args.fit, sort_keys=True)
    judge = fits.kept(judge, args.work / "fits", fits.code(), words)
    study = adapters.Study(task, *vectors_of(task, made), judge, _say, args.work)
    plan = adapters.Plan(
        forms, args.seeds, args.curve_seeds, args.control_seeds, args.sizes, not args.no_bm25
    )
    result = adapters_report.record(study, study.run(plan), about)
    task.write_ids(args.out)
    _write(args.out, f"adapters-{task.name}", result, adapters_report.page(result))


def run_modulation(args: argparse.Namespace, made: Embeddings) -> None:
    """Fit, judge, write."""
    tasks, training = _encoded_material(made)
    learned: dict[str, list[modulation.Learned]] = {}
    for mode in args.modes.split(","):
        for seed in range(args.seeds):
            taught = modulation.lesson(training, seed)
            one = modulation.fit(taught, mode, seed, vocabulary_size(), **args.fit)
            _say(f"{mode} seed {seed}: {one.about} in {one.seconds:.1f} s")
            learned.setdefault(mode, []).append(one)
    found = modulation.measure(tasks, training, learned, _say)
    plain = [[one.task for one in side] for side in (tasks, training)]
    result = modulation_report.record(*plain, learned, found, _header("modulation", args))
    for task in plain[0]:
        task.write_ids(args.out)
    _write(args.out, "modulation", result, modulation_report.page(result))


def run_upgrade(args: argparse.Namespace, made: Embeddings) -> None:
    """Fit, judge, write: the same network with another pooling is the new model."""
    task = _told(synopsis_task())
    newer = Embeddings(args.work, args.dtype, _say, args.pooling)
    rows = upgrade.drawn(max(args.pairs), len(task.corpus))
    of = upgrade.Material(
        task,
        *synopsis_vectors(),
        newer.vectors(task.queries, f"{task.name}-queries-{args.pooling}", SHORT),
        rows,
        newer.vectors([task.corpus[row] for row in rows], f"{task.name}-{args.pooling}", SHORT),
    )
    found = upgrade.measure(of, args.pairs, _say)
    model = f"the same network with {args.pooling} pooling, texts cut to {SHORT} tokens"
    result = upgrade.record(of, found, model, _header("upgrade", args))
    _write(args.out, f"upgrade-{task.name}", result, upgrade.page(result))


def _encoded_material(made: Embeddings) -> tuple[list[modulation.Encoded], ...]:
    found: Material = material()
    for task in (*found.tasks, *found.training):
        _told(task)
    return encoded(found.tasks, made, "task"), encoded(found.training, made, "training")


def _told(task: Task) -> Task:
    about = {name: value for name, value in task.summary().items() if name != "versions"}
    _say(", ".join(f"{name} {value}" for name, value in about.items()))
    return task


def _header(name: str, args: argparse.Namespace) -> dict[str, Any]:
    return header(name, {key: str(value) for key, value in vars(args).items()})


def _write(folder: Path, name: str, result: dict[str, Any], page: str) -> None:
    report.write(folder, name, result, page)
    print(page, end="", flush=True)


def _say(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    """Run one command."""
    args = _parser().parse_args()
    made = Embeddings(args.work, args.dtype, _say)
    commands = {
        "encode": run_encode,
        "adapters": run_adapters,
        "modulation": run_modulation,
        "upgrade": run_upgrade,
    }
    commands[args.command](args, made)


if __name__ == "__main__":
    main()
