"""Lies about a graph: what it was made with, its nodes, their links, and the levels above."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace

from reliability import container as c
from reliability.container import Container, Section

Lie = tuple[str, Container]
NONE = 2**32 - 1  # no node
SECTIONS = (c.GRAPH_CENTRE, c.GRAPH_NODES, c.GRAPH_LINKS, c.GRAPH_LEVELS)
FLOATS = {name: struct.pack("<f", float(name)) for name in ("nan", "inf", "-inf")}


def _words(values: list[int]) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def _with_levels(true: Container, levels: int, words: list[int]) -> Container:
    changed = true.with_section(c.GRAPH_LEVELS, rows=len(words), data=_words(words))
    return changed.with_graph(levels=levels)


def _level_of_links(true: Container) -> list[int]:
    """Return the words of a level of three nodes in a ring."""
    gap = [NONE] * (true.graph()["m"] - 1)
    return [3, 4, 0, 2, 1, *gap, 2, *gap, 0, *gap]


def levelled(true: Container) -> Container:
    """Return the same graph below two levels."""
    return _with_levels(true, 2, [*_level_of_links(true), 2, 2, 4])


def of_graph(true: Container) -> Iterator[Lie]:
    """Yield every section of a graph missing, of another shape, or at odds with the others."""
    yield from _of_meta(true)
    yield from _of_shapes(true)
    yield from _of_centre(true)
    yield from _of_nodes(true)
    yield from _of_links(true)
    yield from _of_levels(true)
    yield "no graph", true.without(c.GRAPH)
    for section in SECTIONS:
        yield f"no section {section}", true.without(section)
    n = true.meta()["count"]
    sizes = Section(c.LIST_SIZES, c.U32, 1, 1, _words([n]))
    arrival = Section(c.ARRIVAL, c.U32, n, 1, _words(list(range(n))))
    for lists in ([sizes], [arrival], [sizes, arrival]):
        yield f"{len(lists)} sections of lists", replace(true, sections=[*true.sections, *lists])
    yield "no rows, but a graph", _without_rows(true)
    for kept in SECTIONS:
        others = [
            s for s in _without_rows(true).sections if s.type not in SECTIONS or s.type == kept
        ]
        yield f"no rows, but section {kept}", Container(others)
    bare = [s for s in _without_rows(true).sections if s.type not in SECTIONS]
    yield "no rows, but a level", Container(bare).with_graph(levels=1)


def _without_rows(true: Container) -> Container:
    """Return a file without rows, the graph as it was."""
    empty = true.with_meta(count=0)
    for section in (c.ROWS, c.CODES, c.LABELS):
        if true.has(section):
            empty = empty.with_section(section, rows=0, data=b"")
    return empty


def _of_meta(true: Container) -> Iterator[Lie]:
    m = true.graph()["m"]
    nan, inf = float("nan"), float("inf")
    far = (5e-324, 2.0**-300, 2.0**300, 2.0**1023)
    wrong: dict[str, tuple[float, ...]] = {
        "m": (0, 1, m - 1, m + 1, 2 * m, 513, 2**31, 2**31 + m, 2**32 - 1),
        "ef_construction": (0, 65537, 2**32 - 1),
        "unit": (nan, inf, -inf, 0.0, -0.0, -1.0, 3.0, 0.75, *far),
        "by_distance": (2, 255, 2**32 - 1),
        "levels": (1, 2, 64, 65, 2**32 - 1),
    }
    for name, values in wrong.items():
        for value in values:
            yield f"{name} {value}", true.with_graph(**{name: value})
    data = true.find(c.GRAPH).data
    for size in (0, 1, 31, 33, 64):
        changed = (data * 2)[:size]
        yield f"graph of {size} bytes", true.with_section(c.GRAPH, data=changed, cols=size)
    yield "graph in a column", true.with_section(c.GRAPH, rows=32, cols=1)
    yield "graph of u32", true.with_section(c.GRAPH, element=c.U32, cols=8)


def _of_shapes(true: Container) -> Iterator[Lie]:
    """Every section a row short, a row longer, turned and of other elements."""
    for kind in SECTIONS:
        section = true.find(kind)
        rows, cols, data = section.rows, section.cols, section.data
        yield f"{kind} of f64", true.with_section(kind, element=c.F64, data=data + data)
        other = c.U32 if section.element == c.F32 else c.F32
        yield f"{kind} of other elements", true.with_section(kind, element=other)
        yield f"{kind} as bytes", true.with_section(kind, element=c.BYTES, cols=4 * cols)
        yield (
            f"{kind} one more",
            true.with_section(kind, rows=rows + 1, data=data + bytes(4 * cols)),
        )
        if rows:
            yield f"{kind} one less", true.with_section(kind, rows=rows - 1, data=data[4 * cols :])
            yield f"{kind} empty", true.with_section(kind, rows=0, data=b"")
            if rows != cols:
                yield f"{kind} turned", true.with_section(kind, rows=cols, cols=rows)
        yield f"{kind} without columns", true.with_section(kind, cols=0, data=b"")
        yield f"{kind} wider", true.with_section(kind, cols=cols + 1, data=data + bytes(4 * rows))


def _of_centre(true: Container) -> Iterator[Lie]:
    data = true.find(c.GRAPH_CENTRE).data
    for name, bad in FLOATS.items():
        for at in (0, len(data) - 4):
            changed = data[:at] + bad + data[at + 4 :]
            yield f"centre {name} at {at}", true.with_section(c.GRAPH_CENTRE, data=changed)


def _of_nodes(true: Container) -> Iterator[Lie]:
    """The rows of nodes: not all different, or no rows."""
    n, data = true.find(c.GRAPH_NODES).rows, true.find(c.GRAPH_NODES).data
    for at in (0, n // 2, n - 1):
        for value in (n, n + 1, 2**31, NONE):
            changed = data[: 4 * at] + _words([value]) + data[4 * at + 4 :]
            yield f"node {at} is row {value}", true.with_section(c.GRAPH_NODES, data=changed)
    yield "a row twice", true.with_section(c.GRAPH_NODES, data=data[:4] + data[:-4])
    yield "one row", true.with_section(c.GRAPH_NODES, data=bytes(4 * n))


def _of_links(true: Container) -> Iterator[Lie]:
    """Links to what is no other node, or behind the last one."""
    section = true.find(c.GRAPH_LINKS)
    n, width = section.rows, section.cols
    links = [list(record) for record in struct.iter_unpack(f"<{width}I", section.data)]

    def linked(node: int, record: list[int]) -> Container:
        changed = [*links[:node], record, *links[node + 1 :]]
        return true.with_section(c.GRAPH_LINKS, data=_words([id for r in changed for id in r]))

    for node in (0, n // 2, n - 1):
        others = [id for id in range(n) if id != node]
        full = (others * width)[:width]
        for at in (0, width - 1):
            for to in (node, n, n + 1, 2**31, NONE - 1):
                record = [*full[:at], to, *full[at + 1 :]]
                yield f"node {node} leads to {to} at {at}", linked(node, record)
        for gap in range(width - 1):
            record = [*full[:gap], NONE, *full[gap + 1 :]]
            yield f"node {node} goes on after link {gap}", linked(node, record)
        yield f"node {node}: all but the last", linked(node, [*[NONE] * (width - 1), others[0]])
        yield f"node {node}: only itself", linked(node, [node] * width)


def _of_levels(true: Container) -> Iterator[Lie]:
    """Levels that do not hold what is below, or end where the words do not."""
    m = true.graph()["m"]
    n = true.find(c.GRAPH_NODES).rows
    first = _level_of_links(true)
    two = [*first, 2, 2, 4]
    for levels in (0, 1, 3, 64, 65):
        yield f"{levels} levels for two", _with_levels(true, levels, two)
    for end in range(len(two)):
        yield f"words cut to {end}", _with_levels(true, 2, two[:end])
    for more in ([0], [NONE], [1, 2], [0] * 1000):
        yield f"{len(more)} words more, {more[0]}", _with_levels(true, 2, [*two, *more])
    for count in (0, 1, 2, 4, 2**31, NONE):
        yield f"a level of {count}", _with_levels(true, 2, [count, *two[1:]])
    for count in (0, 1, 3, 2**31, NONE):
        yield f"a top of {count}", _with_levels(true, 2, [*first, count, 2, 4])
    yield "only counts", _with_levels(true, 64, [0] * 64)
    yield "a top of every node twice", _with_levels(true, 1, [2 * n, *range(n), *range(n)])
    for node in (0, n, n + 1, 2**31, NONE - 1, NONE):
        changed = [*first[:1], node, *first[2:]]
        yield (
            f"node {node} on a level that has or lacks it",
            _with_levels(true, 2, [*changed, 1, 0]),
        )
    for top in ([2, 2], [4, 4], [0, 1], [3, 0], [n, 0], [NONE, 0]):
        yield f"nodes {top} on top", _with_levels(true, 2, [*first, 2, *top])
    for node in range(3):
        for to in (node, 3, 4, n, 2**31, NONE - 1):
            at = 4 + node * m
            changed = [*two[:at], to, *two[at + 1 :]]
            yield f"node {node} above leads to {to}", _with_levels(true, 2, changed)
        changed = [
            *two[: 4 + node * m],
            NONE,
            *[1 - node // 2] * (m - 1),
            *two[4 + (node + 1) * m :],
        ]
        yield f"node {node} above goes on after its end", _with_levels(true, 2, changed)


def truths(true: Container) -> Iterator[Lie]:
    """Yield unusual graphs that a reader must open, most of them of no use."""
    section = true.find(c.GRAPH_LINKS)
    n, width = section.rows, section.cols
    m = true.graph()["m"]
    yield "levels above", levelled(true)
    yield "every node on top", _with_levels(true, 1, [n, *range(n)])
    every = [n, *range(n), *[NONE] * (n * m)]
    yield "every node on every level", _with_levels(true, 64, [*every * 63, n, *range(n)])
    yield "a level without links", _with_levels(true, 2, [2, 1, 2, *[NONE] * (2 * m), 1, 2])
    yield "one node on top", _with_levels(true, 1, [1, n - 1])
    yield "no links", true.with_section(c.GRAPH_LINKS, data=b"\xff" * (4 * n * width))
    one = [int(node == 0) for node in range(n)]
    for name, links in (
        ("all links to one", [id for to in one for id in [to] * width]),
        ("a chain", [id for i in range(n) for id in [(i + 1) % n, *[NONE] * (width - 1)]]),
    ):
        yield name, true.with_section(c.GRAPH_LINKS, data=_words(links))
    backwards = _words(list(range(n))[::-1])
    yield "nodes in another order", true.with_section(c.GRAPH_NODES, data=backwards)
    dim = true.find(c.GRAPH_CENTRE).cols
    for value in (0.0, 1e-45, -7.5, 3e38, -3e38):
        data = struct.pack("<f", value) * dim
        yield f"centre {value}", true.with_section(c.GRAPH_CENTRE, data=data)
    for exponent in (-199, -100, -1, 100, 199):
        yield f"unit 2^{exponent}", true.with_graph(unit=2.0**exponent)
    for ef in (1, 65536):
        yield f"ef_construction {ef}", true.with_graph(ef_construction=ef)
    yield "another seed", true.with_graph(seed=2**64 - 1)
    yield "another order of nearness", true.with_graph(by_distance=1 - true.graph()["by_distance"])
    wide = 512
    filled = [id for i in range(n) for id in [(i + 1) % n, *[NONE] * (2 * wide - 1)]]
    many = true.with_section(c.GRAPH_LINKS, cols=2 * wide, data=_words(filled))
    yield "512 links", many.with_graph(m=wide)
