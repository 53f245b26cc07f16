"""Command line of the side-by-side benchmark: run, plot, table, list."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.pareto import records
from bench.pareto.contestant import distribution_version
from bench.pareto.datasets import FOLDERS, SHIPPED, data_root
from bench.pareto.measure import Settings
from bench.pareto.methods import REGISTRY, expand
from bench.pareto.run import BATCHES, Job, run, say
from bench.pareto.sentences import KINDS, make
from bench.pareto.table import DEFAULT_TARGETS, Target, render


def _numbers(word: str) -> list[int]:
    values = [int(float(part)) for part in word.split(",")]
    if any(value < 1 for value in values):
        raise argparse.ArgumentTypeError(f"got {word!r}, expected whole numbers of at least 1")
    return values


def _points(word: str) -> list[tuple[int, int]]:
    pairs = [tuple(_numbers(part.replace("x", ","))) for part in _words(word)]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise argparse.ArgumentTypeError(
            f"got {word!r}, expected batch x threads, e.g. 1x1,10000x2"
        )
    return [(batch, threads) for batch, threads in pairs]


def _words(word: str) -> list[str]:
    return [part.strip() for part in word.split(",") if part.strip()]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.pareto", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    measure = commands.add_parser("run", help="measure, and write bench/results/<date>-<name>")
    defaults = Settings()
    add = measure.add_argument
    add("--name", default="run", help="last part of the folder's name")
    add("--data", type=_words, default=list(SHIPPED), help="names, folders, .hdf5 files; by comma")
    add(
        "--methods",
        default="exact",
        help="names, families (exact reduced graph ivf quantized) or all",
    )
    add("--isa", type=_words, default=[], help="also nearfield at these levels, e.g. avx512,avx2")
    add(
        "--isolate",
        type=_words,
        default=[],
        help="methods to put in processes of their own, or all",
    )
    add("--k", type=_numbers, default=[10, 100])
    add("--batches", type=_numbers, default=list(BATCHES), help="queries per call")
    add("--threads", type=_numbers, default=[1, 2])
    add(
        "--points",
        type=_points,
        default=[],
        help="batch x threads by comma, e.g. 1x1,10000x2, in place of --batches and --threads",
    )
    add("--rows", type=int, default=0, help="only the first rows (ground truth is made anew)")
    add("--queries", type=int, default=0, help="only the first stored queries")
    add("--seconds", type=float, default=defaults.seconds, help="aim per method and point")
    add("--repeats", type=int, default=defaults.repeats, help="blocks per method and point")
    add("--fewest", type=int, default=defaults.fewest, help="blocks at least, for slow calls")
    add("--slow-call", type=float, default=defaults.slow_call, help="see bench/README.md")
    add("--quiet", type=float, default=0.0, help="wait so long for an idle machine before a point")
    add(
        "--results", type=Path, default=None, help="folder for the result, instead of bench/results"
    )
    for name, text in (("plot", "draw PNG and SVG"), ("table", "print a markdown page")):
        reader = commands.add_parser(name, help=text)
        reader.add_argument(
            "folders", type=Path, nargs="+", help="results of run; several are joined"
        )
        if name == "plot":
            reader.add_argument(
                "--out", type=Path, help="folder for the plots (default: the first)"
            )
        else:
            reader.add_argument(
                "--target", type=Target.parse, action="append", help="METHOD:BATCH:RATIO"
            )
            reader.add_argument(
                "--strict", action="store_true", help="exit 1 if a target is missed"
            )
    maker = commands.add_parser("make", help="make a data set that is too large to ship")
    maker.add_argument("what", choices=["debian-sentences"])
    maker.add_argument("--out", type=Path, required=True, help="folder for the data set")
    maker.add_argument("--kinds", type=_words, default=list(KINDS), help=f"some of {KINDS}")
    maker.add_argument("--rows", type=int, default=0, help="only so many texts, to try it")
    commands.add_parser("list", help="methods and data sets, and what is here")
    return parser


def _run(options: argparse.Namespace) -> int:
    methods = expand(options.methods)
    # Levels follow the default one, so that they are timed right after it in every round.
    levels = [
        name for name in (f"nearfield@{level}" for level in options.isa) if name not in methods
    ]
    place = methods.index("nearfield") + 1 if "nearfield" in methods else 0
    methods[place:place] = levels
    job = Job(
        name=options.name,
        data=options.data,
        methods=methods,
        ks=options.k,
        batches=options.batches,
        threads=options.threads,
        points=options.points,
        rows=options.rows,
        queries=options.queries,
        isolate=frozenset(options.isolate),
        settings=Settings(
            seconds=options.seconds,
            repeats=options.repeats,
            fewest=options.fewest,
            slow_call=options.slow_call,
            quiet=options.quiet,
        ),
        **({"results": options.results} if options.results else {}),
    )
    print(run(job))
    return 0


def _read_all(folders: Sequence[Path]) -> tuple[records.Header, list[records.Record]]:
    read = [records.read(folder) for folder in folders]
    return read[0][0], [record for _, rows in read for record in rows]


def _list() -> int:
    print("methods")
    for name, kind in REGISTRY.items():
        version = distribution_version(kind.package) or "not installed"
        print(f"  {name:16} {kind.family:8} {kind.package} {version}")
    print("data sets (NEARFIELD_DATA), or the path of an ann-benchmarks .hdf5 file")
    for name, metric in FOLDERS.items():
        print(f"  {name:16} {metric:8} {'here' if (data_root() / name).is_dir() else 'not here'}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors a user can mend are one line and exit code 2."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "run":
            return _run(options)
        if options.command == "list":
            return _list()
        if options.command == "make":
            print(make(options.out, options.kinds, say, options.rows))
            return 0
        header, rows = _read_all(options.folders)
        if options.command == "plot":
            from bench.pareto.plot import draw

            for path in draw(rows, options.out or options.folders[0]):
                print(path)
            return 0
        page, judged = render(header, rows, options.target or DEFAULT_TARGETS)
        print(page)
        return int(options.strict and any(verdict.passed is not True for verdict in judged))
    except (ValueError, FileNotFoundError, ModuleNotFoundError) as error:
        say(f"error: {error}")
        return 2


if __name__ == "__main__":
    sys.exit(main())
