"""Tables for all data sets: what we have and the best peer at equal recall.

One holds our index, our exact search and the fastest inverted file or quantized brute force *at
that recall*, so that the peer may be another one in every row. The other holds our graph, hnswlib
and the fastest graph: graphs are apart as their builds cost another order. Beside each rate stand
the seconds to build and the bytes per vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bench.pareto.front import qps_at
from bench.pareto.records import Record

LEVELS = (0.90, 0.95, 0.99)
# Above this many cores taken by other processes a figure is marked as disturbed.
DISTURBED = 0.15
PEER_FAMILIES = ("ivf", "quantized")
GRAPH, USUAL_GRAPH = "graph", "hnswlib"
EXACT_WINS = "exact is faster: `nf.tune` picks it"


@dataclass(frozen=True)
class Rate:
    """What a method reaches at a recall, and what its index costs."""

    method: str
    qps: float
    build_s: float
    bytes_per_vector: float
    disturbed: bool

    def __str__(self) -> str:
        number = f"{self.qps:,.0f}" if self.qps >= 100 else f"{self.qps:,.1f}"
        mark = " ~" if self.disturbed else ""
        cost = f"{self.build_s:.1f} s, {self.bytes_per_vector:,.0f} B"
        return f"{self.method} **{number}**{mark} ({cost})"


def fastest(rows: Iterable[Record], recall: float) -> Rate | None:
    """Fastest method at a recall, interpolated on the front of each; None if none reaches it."""
    by_method: dict[str, list[Record]] = {}
    for row in rows:
        if row.recall is not None:
            by_method.setdefault(row.method, []).append(row)
    best: Rate | None = None
    for name, mine in by_method.items():
        qps = qps_at([(row.recall or 0.0, row.qps) for row in mine], recall)
        if qps is not None and (best is None or qps > best.qps):
            disturbed = any(row.foreign_cores > DISTURBED for row in mine)
            best = Rate(name, qps, mine[0].build_s, mine[0].bytes_per_vector, disturbed)
    return best


def _is_index(row: Record) -> bool:
    return row.ours and row.family in PEER_FAMILIES


def _is_exact_search(row: Record) -> bool:
    return row.ours and row.family == "exact" and row.exact


def _is_peer(row: Record) -> bool:
    return not row.ours and row.family in PEER_FAMILIES


def _ratio(ours: Rate | None, peer: Rate | None) -> str:
    return f"{ours.qps / peer.qps:.2f}" if ours and peer else "-"


def _is_our_graph(row: Record) -> bool:
    return row.ours and row.family == GRAPH


def _is_usual_graph(row: Record) -> bool:
    return row.method == USUAL_GRAPH


def _is_graph_peer(row: Record) -> bool:
    return not row.ours and row.family == GRAPH


def _line(rows: Sequence[Record], recall: float) -> str:
    def of(wanted: Callable[[Record], bool]) -> Rate | None:
        return fastest(filter(wanted, rows), recall)

    index, exact, peer = of(_is_index), of(_is_exact_search), of(_is_peer)
    exact_wins = exact is not None and (index is None or exact.qps > index.qps)
    first = rows[0]
    cells = [
        first.data,
        f"{first.batch:,}",
        str(first.threads),
        f"{recall:.2f}",
        *(str(rate) if rate else "-" for rate in (index, exact, peer)),
        _ratio(index, peer),
        _ratio(exact if exact_wins else index, peer),
        EXACT_WINS if exact_wins else "",
    ]
    return "| " + " | ".join(cells) + " |"


def _graph_line(rows: Sequence[Record], recall: float) -> str:
    ours, usual, best = (
        fastest(filter(wanted, rows), recall)
        for wanted in (_is_our_graph, _is_usual_graph, _is_graph_peer)
    )
    sooner = f"{usual.build_s / ours.build_s:.1f}" if ours and usual and ours.build_s else "-"
    first = rows[0]
    cells = [
        first.data,
        f"{first.batch:,}",
        str(first.threads),
        f"{recall:.2f}",
        *(str(rate) if rate else "-" for rate in (ours, usual, best)),
        _ratio(ours, usual),
        _ratio(ours, best),
        sooner,
    ]
    return "| " + " | ".join(cells) + " |"


def _tables(
    rows: Sequence[Record],
    shown: Callable[[Record], bool],
    heads: Sequence[str],
    line: Callable[[Sequence[Record], float], str],
) -> list[str]:
    """A table for every k that has something to show at some place, that is a set and a point."""
    lines: list[str] = []
    for k in dict.fromkeys(row.k for row in rows):
        at_k = [row for row in rows if row.k == k]
        body: list[str] = []
        for place in dict.fromkeys((row.data, row.batch, row.threads) for row in at_k):
            here = [row for row in at_k if (row.data, row.batch, row.threads) == place]
            if any(shown(row) for row in here):
                body += [line(here, level) for level in LEVELS]
        if body:
            first = ["data", "batch", "threads", f"recall@{k}", *heads]
            lines += ["| " + " | ".join(first) + " |", "|" + "---|" * len(first), *body, ""]
    return lines


def recall_table(rows: Sequence[Record]) -> list[str]:
    """Lines of the table, by k, data set and point; none where nothing approximate was measured."""
    heads = ["our index", "our exact search", "best inverted or quantized peer"]
    heads += ["index / peer", "ours / peer", ""]
    lines = _tables(rows, lambda row: _is_index(row) or _is_peer(row), heads, _line)
    if lines:
        lines.append(
            "Each cell: queries per second (build, bytes per vector). *ours* is the faster of "
            "index and exact search. `~`: something else ran during the method's timings."
        )
    return lines


def graph_table(rows: Sequence[Record]) -> list[str]:
    """Lines of the table of graphs; none where no graph of ours was measured."""
    heads = ["our graph", USUAL_GRAPH, "best graph peer"]
    heads += [f"graph / {USUAL_GRAPH}", "graph / best", f"build, {USUAL_GRAPH} / graph"]
    return _tables(rows, _is_our_graph, heads, _graph_line)
