"""Losses on the scores of a batch of queries against one list of candidates.

Each takes scores (queries, candidates), a mask of the positives and a mask of what must not be
pushed away: the positives themselves and whatever belongs to the same group. Several positives of a
query are alternatives for InfoNCE and separate pairs for the margin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["LOSSES", "info_nce", "margin"]


def info_nce(scores: Any, positive: Any, spared: Any, temperature: float) -> Any:
    """Return the mean of ``-log(sum over positives / sum over all)`` of ``exp(score / t)``.

    Source: van den Oord et al., 2018; with several positives as Disj-InfoNCE.
    """
    logits = scores / temperature
    lowest = float("-inf")
    # A few columns hold the positives: reading the whole matrix once more would cost as much again.
    count = positive.sum(1)
    place = positive.byte().topk(int(count.max()), dim=1).indices
    own = logits.gather(1, place).masked_fill(~positive.gather(1, place), lowest)
    akin = spared & ~positive
    everything = (logits.masked_fill(akin, lowest) if bool(akin.any()) else logits).logsumexp(1)
    return (everything - own.logsumexp(1)).mean()


def margin(scores: Any, positive: Any, spared: Any, gamma: float) -> Any:
    """Return the mean over pairs (positive, negative) of ``max(0, gamma + negative - positive)``.

    The mean is over those negatives that are nearer than the margin, so that a thousand easy ones
    do not hide the few that matter. Source: Adapted Dense Retrieval as its reviews describe it.
    """
    query, candidate = positive.nonzero(as_tuple=True)
    near = scores[query, candidate].unsqueeze(1)
    short = (gamma + scores[query] - near).clip(min=0).masked_fill(spared[query], 0)
    active = (short > 0).sum(1).clip(min=1)
    return (short.sum(1) / active).mean()


LOSSES: dict[str, tuple[Callable[..., Any], str, float]] = {
    # name: function, the argument it is tempered by, that argument's default
    "infonce": (info_nce, "temperature", 0.04),
    "margin": (margin, "gamma", 0.1),
}
