"""Markdown tables of a run: nearfield, the best exact peer, targets, approximate peers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.pareto.at_recall import DISTURBED, graph_table, recall_table
from bench.pareto.at_recall import LEVELS as LEVELS_OF_RECALL
from bench.pareto.front import qps_at
from bench.pareto.records import SUBJECT, Header, Record

# Exact search here is to beat every approximate peer at recall 0.99.
HEADLINE_BATCH = 10_000
Group = tuple[str, int, int]  # data, k, threads


@dataclass(frozen=True)
class Target:
    """A ratio to reach against the best exact peer, for one method at one batch size.

    ``threads`` 0 means the largest number measured.
    """

    method: str
    batch: int
    ratio: float
    threads: int = 0

    @classmethod
    def parse(cls, word: str) -> Target:
        """Read ``METHOD:BATCH:RATIO``, e.g. ``nearfield@avx512:10000:3``."""
        parts = word.split(":")
        try:
            method, batch, ratio = parts
            return cls(method, int(batch), float(ratio))
        except ValueError:
            raise ValueError(
                f"target {word!r}: expected METHOD:BATCH:RATIO, e.g. nearfield:10000:12"
            ) from None


DEFAULT_TARGETS = (
    Target("nearfield", 10_000, 12.0),
    Target("nearfield@avx512", 10_000, 3.0),
    Target("nearfield", 1, 4.0),
)


def _groups(rows: Sequence[Record]) -> list[Group]:
    return list(dict.fromkeys((row.data, row.k, row.threads) for row in rows))


def _of(rows: Sequence[Record], group: Group) -> list[Record]:
    return [row for row in rows if (row.data, row.k, row.threads) == group]


def best_peer(rows: Sequence[Record], batch: int) -> Record | None:
    """Fastest peer at a batch size that claims exact answers and was measured to give them."""
    peers = [
        row
        for row in rows
        if row.batch == batch and row.family == "exact" and not row.ours and row.exact
    ]
    return max(peers, key=lambda row: row.qps, default=None)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def _cell(row: Record | None) -> str:
    if row is None:
        return "-"
    marks = "" if row.exact else f" (recall {'?' if row.recall is None else f'{row.recall:.4f}'})"
    marks += " ~" if row.foreign_cores > DISTURBED else ""
    return _number(row.qps) + marks


def _ratio(ours: Record | None, peer: Record | None) -> str:
    if ours is None or peer is None:
        return "-"
    if not ours.exact:
        return "not exact"
    return f"{ours.qps / peer.qps:.2f} ({ours.qps_low / peer.qps_high:.2f})"


def exact_table(rows: Sequence[Record], group: Group) -> list[str]:
    """QPS by batch: ours at every level, the best exact peer, the ratio (and its worst case)."""
    here = _of(rows, group)
    exact = [row for row in here if row.family == "exact"]
    ours = list(dict.fromkeys(row.method for row in exact if row.ours))
    peers = list(dict.fromkeys(row.method for row in exact if not row.ours))
    heads = ["batch", *ours, *peers, "best exact peer", *(f"{name} / best" for name in ours)]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for batch in sorted({row.batch for row in exact}):
        by_name = {row.method: row for row in exact if row.batch == batch}
        peer = best_peer(here, batch)
        cells = [f"{batch:,}", *(_cell(by_name.get(name)) for name in (*ours, *peers))]
        cells.append(peer.method if peer else "-")
        cells += [_ratio(by_name.get(name), peer) for name in ours]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def cliffs(rows: Sequence[Record], group: Group) -> Iterator[str]:
    """Per exact method, the deepest fall below the best rate of any smaller batch."""
    here = [row for row in _of(rows, group) if row.family == "exact"]
    for name in dict.fromkeys(row.method for row in here):
        curve = sorted((row.batch, row.qps) for row in here if row.method == name)
        best, deepest, where = 0.0, 1.0, 0
        for batch, qps in curve:
            if best and qps / best < deepest:
                deepest, where = qps / best, batch
            best = max(best, qps)
        if len(curve) > 1:
            words = f"falls to {deepest:.2f} of an earlier rate at batch {where:,}"
            yield f"{name}: {words if deepest < 1 else 'never falls'}"


@dataclass(frozen=True)
class Verdict:
    """Outcome of one target in one place; ``passed`` is None when it was not measured."""

    words: str
    passed: bool | None


def verdicts(rows: Sequence[Record], targets: Sequence[Target]) -> list[Verdict]:
    """Judge targets on every data set and k, at the most threads measured with that batch."""
    out = []
    for target in targets:
        most = max((row.threads for row in rows if row.batch == target.batch), default=0)
        for data, k in dict.fromkeys((row.data, row.k) for row in rows):
            here = _of(rows, (data, k, target.threads or most))
            ours = next(
                (r for r in here if r.method == target.method and r.batch == target.batch), None
            )
            peer = best_peer(here, target.batch)
            place = f"{target.method} batch {target.batch:,}, {data}, k={k}"
            if ours is None or peer is None:
                out.append(Verdict(f"| {place} | {target.ratio:g}x | - | not measured |", None))
                continue
            ratio = ours.qps / peer.qps
            passed = ours.exact and ratio >= target.ratio
            got = f"{ratio:.2f}x" + ("" if ours.exact else ", not exact")
            got += " ~" if max(ours.foreign_cores, peer.foreign_cores) > DISTURBED else ""
            word = "pass" if passed else "**FAIL**"
            out.append(Verdict(f"| {place} | {target.ratio:g}x | {got} | {word} |", passed))
    return out


def approximate_table(rows: Sequence[Record], group: Group, batch: int) -> list[str]:
    """QPS of approximate and reduced peers at fixed recall, beside our exact rate."""
    here = [row for row in _of(rows, group) if row.batch == batch]
    peers = list(dict.fromkeys(r.method for r in here if r.family != "exact"))
    if not peers:
        return []
    levels = [f"recall {level:.2f}" for level in LEVELS_OF_RECALL]
    lines = ["| method | " + " | ".join([*levels, "highest recall", "build s", "B/vector"]) + " |"]
    lines.append("|---|" + "---|" * (len(levels) + 3))
    exact = [row for row in here if row.ours and row.family == "exact"]
    for row in exact:
        cells = [_cell(row)] * len(levels)
        recall = "-" if row.recall is None else f"{row.recall:.4f}"
        cells += [recall, f"{row.build_s:.1f}", f"{row.bytes_per_vector:,.0f}"]
        lines.append(f"| **{row.method}** | " + " | ".join(cells) + " |")
    for name in peers:
        mine = [row for row in here if row.method == name and row.recall is not None]
        if not mine:
            continue
        points = [(row.recall or 0.0, row.qps) for row in mine]
        found = [qps_at(points, level) for level in LEVELS_OF_RECALL]
        cells = ["-" if qps is None else _number(qps) for qps in found]
        cells.append(f"{max(recall for recall, _ in points):.4f}")
        cells += [f"{mine[0].build_s:.1f}", f"{mine[0].bytes_per_vector:,.0f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def headline(rows: Sequence[Record], group: Group, batch: int, recall: float = 0.99) -> str:
    """One sentence: our exact rate against the best approximate peer's rate at a recall."""
    here = [row for row in _of(rows, group) if row.batch == batch]
    ours = next((row for row in here if row.method == SUBJECT and row.exact), None)
    rates: dict[str, float] = {}
    for name in dict.fromkeys(r.method for r in here if r.family != "exact" and not r.ours):
        points = [(r.recall, r.qps) for r in here if r.method == name and r.recall is not None]
        rate = qps_at(points, recall)
        if rate is not None:
            rates[name] = rate
    if ours is None or not rates:
        return ""
    name = max(rates, key=lambda key: rates[key])
    ratio = ours.qps / rates[name]
    verdict = ("pass" if ratio > 1 else "**FAIL**") if batch == HEADLINE_BATCH else "no target"
    return (
        f"Exact at batch {batch:,}: {_number(ours.qps)} QPS, {ratio:.2f} times the best peer at "
        f"recall {recall} ({name}, {_number(rates[name])} QPS): {verdict}"
    )


def _notes(rows: Sequence[Record]) -> list[str]:
    notes = ["Ratios: median over median; in brackets our slowest block over the peer's fastest."]
    if any(row.foreign_cores > DISTURBED for row in rows):
        notes.append(f"`~`: other processes used more than {DISTURBED} cores during the timing.")
    partial = sorted({row.method for row in rows if row.timed_batch < row.batch})
    if partial:
        notes.append(
            f"Timed on part of the largest batches (chunked methods): {', '.join(partial)}."
        )
    return notes


def render(
    header: Header, rows: Sequence[Record], targets: Sequence[Target]
) -> tuple[str, list[Verdict]]:
    """The whole page, and the verdicts on the targets."""
    known = ", ".join(f"{name} {v}" for name, v in header.get("versions", {}).items() if v)
    lines = [
        f"# {header.get('name', '')}, {header.get('date', '')}",
        "",
        f"{header.get('cpu', '')}, {header.get('cores', '')} cores, {header.get('isa', '')}; "
        f"commit {header.get('commit', '')}; {known}.",
        "",
        *_notes(rows),
    ]
    judged = verdicts(rows, targets)
    if judged:
        lines += ["", "| target | wanted | got | |", "|---|---|---|---|"]
        lines += [verdict.words for verdict in judged]
    at_recall = recall_table(rows)
    lines += ["", "## At equal recall", "", *at_recall] if at_recall else []
    graphs = graph_table(rows)
    lines += ["", "## Graphs at equal recall", "", *graphs] if graphs else []
    for group in _groups(rows):
        data, k, threads = group
        here = _of(rows, group)
        lines += ["", f"## {data}, k={k}, {threads} thread{'s' if threads > 1 else ''}", ""]
        lines += exact_table(rows, group)
        falls = list(cliffs(rows, group))
        lines += ["", "By batch: " + "; ".join(falls) + "."] if falls else []
        for batch in sorted({row.batch for row in here if row.family != "exact"}):
            page = approximate_table(rows, group, batch)
            lines += ["", f"Approximate and reduced precision, batch {batch:,}:", "", *page]
            words = headline(rows, group, batch)
            lines += ["", words] if words else []
    return "\n".join(lines) + "\n", judged
