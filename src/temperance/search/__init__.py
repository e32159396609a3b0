"""Which temperature? Train at each, measure on held-out images, recommend with an interval."""

from temperance.search.config import DEFAULT_TEMPERATURES, METRIC_NAMES, SweepConfig
from temperance.search.cost import Cost, estimate
from temperance.search.recommend import choose
from temperance.search.sweep import Progress, sweep

__all__ = [
    "DEFAULT_TEMPERATURES",
    "METRIC_NAMES",
    "Cost",
    "Progress",
    "SweepConfig",
    "choose",
    "estimate",
    "sweep",
]
