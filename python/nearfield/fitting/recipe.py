"""How a fit goes: the settings that adapters and modulations have in common, checked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from ..arguments import Reader, as_margin, as_positive, as_real, as_seed, choose
from .losses import LOSSES
from .measures import METRICS
from .negatives import NEGATIVES

__all__ = ["Recipe"]

_FACTORS = (1.0, 0.3, 3.0)  # learning rates tried, as multiples of the form's own


@dataclass(frozen=True)
class Recipe:
    """Settings of a fit; see :func:`nearfield.fit_adapter` for what each means.

    Raises
    ------
    TypeError, ValueError
        Unknown names, numbers out of range, a temperature or gamma of another loss.
    """

    loss: str
    temperature: float | None
    gamma: float | None
    measure: str
    negatives: str
    per_query: int
    pool: int
    lr: float | None
    epochs: int
    patience: int
    batch_size: int
    refresh: int
    weight_decay: float
    recovery: float
    seed: int

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            object.__setattr__(self, name, check(getattr(self, name), name=name))
        _, tempering, _ = LOSSES[self.loss]
        for name in {"temperature", "gamma"} - {tempering}:
            if getattr(self, name) is not None:
                raise ValueError(
                    f"{name}: got {getattr(self, name)} with loss={self.loss!r}, expected "
                    f"{tempering}"
                )

    @property
    def tempered_by(self) -> float:
        """Temperature or gamma, whichever the loss has."""
        _, tempering, usual = LOSSES[self.loss]
        given: float | None = getattr(self, tempering)
        return usual if given is None else given

    def rates(self, usual: float) -> list[float]:
        """Return the learning rates to try, for a form whose own is `usual`."""
        return [usual * factor for factor in _FACTORS] if self.lr is None else [self.lr]


def _above_zero(value: Any, *, name: str) -> float | None:
    if value is None:
        return None
    number = as_real(value, name=name)
    if number <= 0:
        raise ValueError(f"{name}: got {number}, expected a number above 0")
    return number


def _seed(value: Any, *, name: str) -> int:
    return as_seed(value)


_CHECKS: dict[str, Reader] = {
    "loss": partial(choose, allowed=tuple(LOSSES)),
    "measure": partial(choose, allowed=METRICS),
    "negatives": partial(choose, allowed=NEGATIVES),
    **dict.fromkeys(("temperature", "gamma", "lr"), _above_zero),
    **dict.fromkeys(
        ("per_query", "pool", "epochs", "patience", "batch_size", "refresh"), as_positive
    ),
    **dict.fromkeys(("weight_decay", "recovery"), as_margin),
    "seed": _seed,
}
