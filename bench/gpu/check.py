"""What the phases share: the device's arrays, the report, own ceilings, what was wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bench.gpu.arrays import DryArrays, TorchArrays
from bench.gpu.records import Records

NOT_THERE = (ImportError, AttributeError, NotImplementedError, TypeError)
"""What a call raises whose package, method or argument is missing here."""


@dataclass
class Check:
    """One run of the check.

    Attributes
    ----------
    there : TorchArrays or DryArrays
    report : dict
        Of `nearfield.runtime.cuda_report`.
    records : Records
    ceilings : dict
        What this device did at most, by name: "GB/s" of a copy, "TFLOP/s" of products by type.
    wrong : list of str
        Results that were not right: the exit code.
    """

    there: TorchArrays | DryArrays
    report: dict[str, Any]
    records: Records
    ceilings: dict[str, float] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def add(self, phase: str, case: str, **figures: Any) -> None:
        """Keep a row."""
        self.records.add(phase, case, **figures)

    def judge(self, phase: str, case: str, fault: str, **figures: Any) -> None:
        """Keep a row about a result; `fault` says what is wrong with it, "" for nothing."""
        if fault:
            self.wrong.append(f"{case}: {fault}")
        self.add(phase, case, verdict=fault or "right", **figures)

    def need_torch(self) -> None:
        """Raise ImportError in a dry run."""
        if self.there.dry:
            raise ImportError("left out of a dry run: no torch tensors")

    def share(self, figure: float, ceiling: str) -> str | None:
        """Return a figure in percent of an own ceiling; None where that was not measured."""
        most = self.ceilings.get(ceiling)
        return None if most is None else f"{100 * figure / most:.0f} %"


def reason(error: BaseException) -> str:
    """Return an error on one short line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:160]
