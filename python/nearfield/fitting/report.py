"""What a fit says about itself: how it chose, and what that is worth on queries it never saw."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..bootstrap import BootstrapInterval, paired_bootstrap
from .training import Epoch

__all__ = ["Comparison", "FitReport", "Trial", "compare"]


class Comparison(NamedTuple):
    """A measure of the base and of the adapted queries, and the interval of the difference."""

    base: float
    adapted: float
    difference: BootstrapInterval


class Trial(NamedTuple):
    """A run with one learning rate: its best epoch, that epoch's smoothed measure, its curve."""

    learning_rate: float
    epoch: int
    selection: float
    curve: list[Epoch]


@dataclass(frozen=True)
class FitReport:
    """How a transform was fitted and chosen, and how it does on the test part; prints as a table.

    Attributes
    ----------
    form, side, loss, negatives, measure : str
        What was fitted, how, and the measure that chose.
    chosen : str
        ``"adapted"``, or ``"identity"`` where no candidate was ahead of it on the selection
        part by more than luck.
    learning_rate : float or None
        Of the chosen candidate; None for the identity.
    epoch : int
        Its epoch; 0 for the identity.
    trials : list of Trial
        Every learning rate that was tried, with its curve.
    selection, test : dict of str to Comparison
        By measure. Only `selection` took part in the choice, so only `test` is an honest estimate.
    deltas : dict of str to float
        The chosen measure's difference of every test query, by query id.
    sizes : dict of str to int
        Queries of the three parts, rows and dimensions, fitted numbers.
    seconds : float
    seed : int
    """

    form: str
    side: str
    loss: str
    negatives: str
    measure: str
    chosen: str
    learning_rate: float | None
    epoch: int
    trials: list[Trial]
    selection: dict[str, Comparison]
    test: dict[str, Comparison]
    deltas: dict[str, float]
    sizes: dict[str, int]
    seconds: float
    seed: int

    @property
    def interval(self) -> BootstrapInterval:
        """The interval of the measure's difference on the test part."""
        return self.test[self.measure].difference

    def to_dict(self) -> dict[str, Any]:
        """Return everything as dicts, lists and numbers that JSON holds."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain["trials"] = [
            {**one._asdict(), "curve": [point._asdict() for point in one.curve]}
            for one in self.trials
        ]
        for part in ("selection", "test"):
            plain[part] = {
                name: {**one._asdict(), "difference": one.difference._asdict()}
                for name, one in plain[part].items()
            }
        return plain

    def to_json(self) -> str:
        """Return :meth:`to_dict` as JSON."""
        return json.dumps(self.to_dict())

    def __str__(self) -> str:
        """Return the report as a few lines and two tables."""
        sizes = self.sizes
        won = f"learning rate {self.learning_rate:g}, epoch {self.epoch}" if self.epoch else ""
        why = won or "no candidate was ahead of it on the selection part"
        lines = [
            f"{self.form} on side={self.side!r}: {self.chosen} ({why})",
            f"{sizes['train']} queries to fit, {sizes['selection']} to choose, {sizes['test']} to "
            f"report; {sizes['rows']} rows of {sizes['dim']}; {sizes['numbers']} numbers fitted in "
            f"{self.seconds:.1f} s, seed {self.seed}",
        ]
        for heading, part in (
            (f"selection (chose by {self.measure})", self.selection),
            ("test (took no part in the choice)", self.test),
        ):
            confidence = next(iter(part.values())).difference.confidence
            lines += ["", f"{heading:36}{'base':>8}{'adapted':>9}  difference, {confidence:.0%}"]
            lines += [
                f"  {name:34}{one.base:8.4f}{one.adapted:9.4f}  {one.difference}"
                for name, one in part.items()
            ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def compare(
    base: dict[str, NDArray[np.float64]], adapted: dict[str, NDArray[np.float64]], seed: int
) -> dict[str, Comparison]:
    """Return the comparison of every measure from its values per query."""
    return {
        name: Comparison(
            float(values.mean()),
            float(adapted[name].mean()),
            paired_bootstrap(adapted[name], values, seed=seed),
        )
        for name, values in base.items()
    }
