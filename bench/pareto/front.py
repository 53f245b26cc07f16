"""Recall against speed: the front of a method, and its speed at a given recall."""

from __future__ import annotations

import math
from collections.abc import Iterable

Point = tuple[float, float]  # recall, queries per second


def pareto_front(points: Iterable[Point]) -> list[Point]:
    """Points that no other point beats in both recall and speed, by rising recall."""
    front: list[Point] = []
    for recall, qps in sorted(points, reverse=True):
        if not front or qps > front[-1][1]:
            front.append((recall, qps))
    return front[::-1]


def qps_at(points: Iterable[Point], recall: float) -> float | None:
    """Speed at a recall: on the front, linear in recall and in the logarithm of speed between
    points.

    Returns
    -------
    float or None
        None when the method never reached that recall. A front that starts above it gives the speed
        of its first point, which is a lower bound.
    """
    front = pareto_front(points)
    for place, (right, fast) in enumerate(front):
        if right < recall:
            continue
        if place == 0 or right == recall:
            return fast
        left, faster = front[place - 1]
        share = (recall - left) / (right - left)
        return math.exp((1 - share) * math.log(faster) + share * math.log(fast))
    return None
