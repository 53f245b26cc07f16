"""Measure which search parameters reach which recall, and store the answer in the index file.

QUERIES is a .npy file of vectors like those to come: drawn at random, 1,000 or more where there
are as many. Afterwards `index.search(q, k, recall=0.95)` chooses the parameters.

  nearfield tune corpus.nf queries.npy --recall 0.95 -k 10
"""

from __future__ import annotations

import argparse
import os

from .output import Output
from .vector_files import read_vectors

SUMMARY = "measure which search parameters reach which recall"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("index", metavar="INDEX", help="index file; the new one replaces it")
    parser.add_argument("queries", metavar="QUERIES", help=".npy file of queries")
    parser.add_argument(
        "--recall",
        type=float,
        nargs="+",
        default=[0.95],
        metavar="R",
        help="levels to reach (default 0.95)",
    )
    parser.add_argument("-k", type=int, default=10, help="results per query (default 10)")
    parser.add_argument("--truth", metavar="FILE", help=".npy of the true nearest ids, (n, >= k)")
    parser.add_argument("--threads", type=int, help="threads for the searches")
    parser.add_argument("-o", "--output", help="write here and leave INDEX as it is")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Run the command."""
    from ..files import load
    from ..tuning import tune

    if not os.path.exists(arguments.index):
        raise FileNotFoundError(2, "no such index file", arguments.index)
    index = load(arguments.index)
    tuning = tune(
        index,
        read_vectors(arguments.queries),
        arguments.recall,
        arguments.k,
        truth=read_vectors(arguments.truth) if arguments.truth else None,
        threads=arguments.threads,
    )
    path = arguments.output or arguments.index
    index.save(path)
    columns, *rows = tuning.cells()
    output.table(columns, rows)
    output.line(f"{path}: tuned")
    output.result({"output": path, "settings": [setting._asdict() for setting in tuning]})
    return 0
