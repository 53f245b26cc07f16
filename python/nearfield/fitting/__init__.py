"""Fitting transforms to judged queries, or to texts embedded twice, and reporting it honestly.

`fit_adapter` and `fit_modulation` descend gradients with torch (the extra "train"); `fit_upgrade`
is closed-form NumPy. All of them are called as ``nf.fit_...``.
"""

from __future__ import annotations

from .adapter import AdapterFit, fit_adapter
from .modulation import ModulationFit, fit_modulation
from .report import FitReport
from .upgrade import UpgradeFit, UpgradeReport, fit_upgrade

__all__ = [
    "AdapterFit",
    "FitReport",
    "ModulationFit",
    "UpgradeFit",
    "UpgradeReport",
    "fit_adapter",
    "fit_modulation",
    "fit_upgrade",
]
