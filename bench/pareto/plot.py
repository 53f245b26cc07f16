"""Plots of a run: QPS by batch size, and recall against QPS; PNG and SVG.

Colours are those of Okabe and Ito, told apart with every common colour blindness; line style and
marker differ too, and each line carries its name, so that nothing depends on colour alone.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.pareto.front import pareto_front
from bench.pareto.records import SUBJECT, Record

# A library keeps its colour in every plot; its methods differ in marker and line.
COLOURS = {
    "nearfield": "#D55E00",
    "faiss": "#0072B2",
    "torch": "#009E73",
    "usearch": "#CC79A7",
    "numkong": "#E69F00",
    "hnswlib": "#56B4E9",
    "numpy": "#000000",
    "rabitqlib": "#332288",
    "svs": "#117733",
    "vsag": "#882255",
    "ngt": "#999933",
}
OTHER_COLOUR = "#7F7F7F"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
STYLES = ("-", "--", "-.", ":")
EXACT_AT = 1e-4  # where recall 1 is drawn on the logarithmic axis of misses
Series = dict[str, list[tuple[float, float]]]


def _pyplot() -> Any:
    importlib.import_module("matplotlib").use("Agg")
    return importlib.import_module("matplotlib.pyplot")


def _order(names: Sequence[str]) -> list[str]:
    return sorted(set(names), key=lambda name: (not name.startswith(SUBJECT), name))


def _colour(name: str) -> str:
    """Colour of a method's library."""
    return next((c for library, c in COLOURS.items() if name.startswith(library)), OTHER_COLOUR)


def _spread(heights: Sequence[float], gap: float) -> list[float]:
    """Move label heights (logarithms) apart until they are ``gap`` from each other."""
    order = sorted(range(len(heights)), key=lambda place: heights[place])
    placed = list(heights)
    for below, above in pairwise(order):
        placed[above] = max(placed[above], placed[below] + gap)
    overlap = (max(placed) - max(heights)) / 2 if placed else 0.0
    return [height - overlap for height in placed]


def _draw(axes: Any, series: Series) -> None:
    """Draw the lines, then write each name beside the end of its line."""
    names = _order(list(series))
    for place, name in enumerate(names):
        x, y = zip(*series[name], strict=True)
        ours = name.startswith(SUBJECT)
        axes.plot(
            x,
            y,
            color=_colour(name),
            marker=MARKERS[place % len(MARKERS)],
            linestyle=STYLES[place % len(STYLES)],
            linewidth=2.4 if ours else 1.3,
            markersize=5,
            label=name,
        )
    axes.set_yscale("log")
    ticker: Any = importlib.import_module("matplotlib.ticker")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))
    low, high = axes.get_ylim()
    gap = 0.045 * (math.log10(high) - math.log10(low))
    heights = [math.log10(series[name][-1][1]) for name in names]
    for name, height in zip(names, _spread(heights, gap), strict=True):
        end_x, end_y = series[name][-1]
        axes.annotate(
            name,
            xy=(end_x, end_y),
            xytext=(1.02, height),
            textcoords=_beside(axes),
            color=_colour(name),
            fontsize=8,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": "0.8", "linewidth": 0.6, "shrinkB": 3},
        )
    axes.grid(True, which="major", color="0.9")
    axes.set_ylabel("queries per second")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _beside(axes: Any) -> Any:
    """Coordinates for labels: x as a share of the axes' width, y as the logarithm of the value."""
    transforms: Any = importlib.import_module("matplotlib.transforms")
    low, high = (math.log10(value) for value in axes.get_ylim())
    scale = transforms.Affine2D().translate(0, -low).scale(1, 1 / (high - low))
    return scale + axes.transAxes


def _save(figure: Any, folder: Path, stem: str) -> list[Path]:
    paths = [folder / f"{stem}.{kind}" for kind in ("png", "svg")]
    for path in paths:
        # A fixed date keeps the files equal when they are drawn again from the same records.
        stamp = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(path, dpi=140, bbox_inches="tight", metadata=stamp)
    _pyplot().close(figure)
    return paths


def batch_curves(rows: Sequence[Record]) -> Series:
    """QPS by batch of the methods with one setting, at two batch sizes or more."""
    series: Series = {}
    flat = [row for row in rows if row.family in ("exact", "reduced") and row.qps > 0]
    for name in dict.fromkeys(row.method for row in flat):
        mine = sorted((row for row in flat if row.method == name), key=lambda row: row.batch)
        lowest = min((row.recall for row in mine if row.recall is not None), default=None)
        exact = lowest is None or all(row.exact for row in mine)
        label = name if exact else f"{name} (recall {lowest:.3f})"
        if len(mine) > 1:
            series[label] = [(row.batch, row.qps) for row in mine]
    return series


def recall_fronts(rows: Sequence[Record]) -> Series:
    """Front of each method as (misses, QPS), misses being 1 - recall, from many to few."""
    series: Series = {}
    for name in dict.fromkeys(row.method for row in rows):
        points = [(r.recall, r.qps) for r in rows if r.method == name and r.recall is not None]
        front = [(max(1 - recall, EXACT_AT), qps) for recall, qps in pareto_front(points)]
        if front:
            series[name] = front
    return series


def _plot_batches(rows: Sequence[Record], folder: Path, stem: str, title: str) -> list[Path]:
    series = batch_curves(rows)
    if not series:
        return []
    figure, axes = _pyplot().subplots(figsize=(7.5, 4.6))
    axes.set_xscale("log", base=2)
    _draw(axes, series)
    ticks = sorted({int(batch) for line in series.values() for batch, _ in line})
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks], rotation=45, fontsize=8)
    axes.set_xlabel("queries per call")
    axes.set_title(title, fontsize=10)
    return _save(figure, folder, stem)


def _plot_recall(rows: Sequence[Record], folder: Path, stem: str, title: str) -> list[Path]:
    series = recall_fronts(rows)
    if not any(row.family != "exact" for row in rows) or not series:
        return []
    figure, axes = _pyplot().subplots(figsize=(7.5, 4.6))
    axes.set_xscale("log")
    _draw(axes, series)
    axes.set_xlim(0.6, EXACT_AT / 1.5)
    ticks = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, EXACT_AT)
    axes.set_xticks(ticks, [*(f"{1 - tick:g}" for tick in ticks[:-1]), "1"], fontsize=8)
    axes.minorticks_off()
    axes.set_xlabel("recall (better to the right; 1 is exact)")
    axes.set_title(title, fontsize=10)
    return _save(figure, folder, stem)


def draw(rows: Sequence[Record], folder: Path) -> list[Path]:
    """Draw every plot that the records allow.

    Returns
    -------
    list of Path
        Files written, a PNG and an SVG per plot.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for data, k, threads in dict.fromkeys((r.data, r.k, r.threads) for r in rows):
        here = [row for row in rows if (row.data, row.k, row.threads) == (data, k, threads)]
        place = f"{data} ({here[0].n:,} x {here[0].dim}), k={k}, {threads} thread(s)"
        stem = f"{data}-k{k}-t{threads}"
        paths += _plot_batches(here, folder, f"batch-{stem}", f"Exact search by batch: {place}")
        for batch in sorted({row.batch for row in here}):
            some = [row for row in here if row.batch == batch]
            title = f"Recall and speed, batch {batch:,}: {place}"
            paths += _plot_recall(some, folder, f"recall-{stem}-b{batch}", title)
    return paths
