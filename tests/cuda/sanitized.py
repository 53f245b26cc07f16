"""A case of every kernel, in a process of its own whose shim is built with sanitizers.

    LD_PRELOAD=libasan.so python -m cuda.sanitized LIBRARY [LIBRARY WITH A FAULT] [case ...]

Runs the cases, each with two schedules, and prints the names of the kernels that ran. A sanitizer
that sees something ends the process. test_sanitizers.py starts it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cuda.shim_library import Overlaid, Shim

from cuda import (
    test_byte_bounds,
    test_choose_links,
    test_choose_lists,
    test_cluster_sums,
    test_clusters,
    test_coded_lists,
    test_decode_codes,
    test_exact,
    test_folded,
    test_folded_scan,
    test_graph_descend,
    test_graph_search,
    test_group_maxima,
    test_lists,
    test_map_queries,
    test_map_rows,
    test_merge_ranked,
    test_pq,
    test_scalar_encode,
    test_scan,
    test_select_k,
    test_threshold_scan,
)

FLOATS = ("f32", "f16", "bf16")


class Recorded:
    """A shim that remembers which kernels ran."""

    def __init__(self, shim: Shim | Overlaid) -> None:
        self._shim = shim
        self.names: set[str] = set()

    def launch(self, name: str, *arguments: Any, **how: Any) -> None:
        """See Shim.launch."""
        self.names.add(name)
        self._shim.launch(name, *arguments, **how)


def select(shim: Any, seed: int) -> None:
    for dtype in (np.float32, np.float64):
        test_select_k.check(shim, seed, 2, 200, 40, threads=64, slices=2, dtype=dtype)


def scan(shim: Any, seed: int) -> None:
    for i, (stored, as_bytes) in enumerate(test_scan.CASES):
        test_scan.check(shim, seed + i, stored, as_bytes, ("l2", "cosine", "ip")[i % 3])


def maxima(shim: Any, seed: int) -> None:
    for kernel in test_group_maxima.KERNELS:
        test_group_maxima.check(shim, kernel, seed, 9 + seed, 130 + seed, 21 + seed)


def bounds(shim: Any, seed: int) -> None:
    for i, kernel in enumerate(test_byte_bounds.KERNELS):
        metric = ("l2", "cosine", "ip")[i]
        test_byte_bounds.check_bounds(shim, seed, FLOATS[i], metric, kernel)
        test_byte_bounds.check_search(shim, seed, FLOATS[i], metric)


def lists(shim: Any, seed: int) -> None:
    for i, stored in enumerate(test_lists.STORED):
        test_lists.check(shim, seed + i, stored, ("l2", "cosine", "ip")[i % 3])


def clusters(shim: Any, seed: int) -> None:
    test_clusters.check_sort(shim, seed)
    for name, metric in zip(FLOATS, ("l2", "cosine", "ip"), strict=True):
        test_clusters.check(shim, seed, name, metric)
        test_cluster_sums.check_sums(shim, seed, name)
        test_cluster_sums.check_points(shim, seed, name)
    test_cluster_sums.test_means(shim, bool(seed))


def choice(shim: Any, seed: int) -> None:
    for check in test_choose_lists.CHECKS.values():
        check(shim, seed)


def ranked(shim: Any, seed: int) -> None:
    test_merge_ranked.check(shim, seed, 3, 2, 40)
    test_merge_ranked.test_keys_of_what_is_missing(shim)
    test_merge_ranked.test_bytes_in_another_order(shim)


def graph(shim: Any, seed: int) -> None:
    for name, metric in zip(FLOATS, ("l2", "cosine", "ip"), strict=True):
        test_graph_search.check(shim, seed, name, metric)
        test_graph_descend.check(shim, seed, name, metric)
    test_graph_descend.test_a_mask_in_another_order(shim)
    test_choose_links.check(shim, seed)
    test_graph_search.test_queries_that_found_too_few(shim)


def maps(shim: Any, seed: int) -> None:
    for i in range(4):
        test_map_rows.check(shim, 2 * i + seed)
    test_map_rows.check_numbers(shim, seed)
    for i, kind in enumerate(test_map_queries.TYPES):
        test_map_queries.check(shim, seed + i, kind)
    test_folded.check(shim, seed)
    for i, stored in enumerate(test_folded_scan.STORED):
        test_folded_scan.check(shim, seed + i, stored, ("l2", "cosine", "ip")[i % 3])


def thresholds(shim: Any, seed: int) -> None:
    for kernel in test_threshold_scan.TILES:
        test_threshold_scan.check(shim, kernel, seed, 9 + seed, 300 + seed, 72)
    test_threshold_scan.prove(shim, seed)
    for name in (*FLOATS, "u8", "i8"):
        test_threshold_scan.check_rows(shim, seed, name)


def codes(shim: Any, seed: int) -> None:
    for name in FLOATS:
        test_pq.check(shim, seed, name, 8 if seed % 2 else 4)
        test_scalar_encode.check(shim, seed, name)


def decoding(shim: Any, seed: int) -> None:
    for form in test_decode_codes.FORMS:
        test_decode_codes.check(shim, form, seed + 2)
    test_decode_codes.check_books(shim, seed)
    test_decode_codes.check_rotation(shim, seed)
    test_decode_codes.check_places(shim, seed)
    test_coded_lists.check(shim, seed)


def exact(shim: Any, seed: int) -> None:
    for stored in test_exact.STORED:
        test_exact.check(shim, seed, stored)


CASES: tuple[Callable[[Any, int], None], ...] = (
    select,
    scan,
    maxima,
    bounds,
    lists,
    choice,
    ranked,
    clusters,
    graph,
    maps,
    thresholds,
    codes,
    decoding,
    exact,
)


def main(arguments: list[str]) -> None:
    """Run the cases that are named, or all."""
    libraries = [Shim(Path(given)) for given in arguments if given.endswith(".so")]
    shim = Recorded(libraries[0] if len(libraries) == 1 else Overlaid(libraries[1], libraries[0]))
    chosen = [case for case in CASES if case.__name__ in arguments]
    for case in chosen or CASES:
        for seed in (0, 1):  # a schedule of either kind
            case(shim, seed)
    print(*sorted(shim.names), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
