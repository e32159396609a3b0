"""Which temperature? Train at each, measure on held-out images, recommend with an interval."""

from temperance.search.budget import Rung, checked_plan, plan, search
from temperance.search.cluster import cluster
from temperance.search.config import (
    AUTO,
    DEFAULT_TEMPERATURES,
    LABEL_FREE,
    METRIC_NAMES,
    SearchConfig,
    SweepConfig,
    TrainConfig,
    default_epochs,
    in_epochs,
)
from temperance.search.cost import Cost, estimate
from temperance.search.grid import grid_in_words, known_grid
from temperance.search.member import member_arrays
from temperance.search.pixels import AgainstPixels, against_pixels, pixels_in_words
from temperance.search.recommend import choose
from temperance.search.rules import BesideFixed, beside_fixed
from temperance.search.sweep import Progress, by_budget, sweep, train_command, with_hardest
from temperance.search.workers import Executor, local

__all__ = [
    "AUTO",
    "DEFAULT_TEMPERATURES",
    "LABEL_FREE",
    "METRIC_NAMES",
    "AgainstPixels",
    "BesideFixed",
    "Cost",
    "Executor",
    "Progress",
    "Rung",
    "SearchConfig",
    "SweepConfig",
    "TrainConfig",
    "against_pixels",
    "beside_fixed",
    "by_budget",
    "checked_plan",
    "choose",
    "cluster",
    "default_epochs",
    "estimate",
    "grid_in_words",
    "in_epochs",
    "known_grid",
    "local",
    "member_arrays",
    "pixels_in_words",
    "plan",
    "search",
    "sweep",
    "train_command",
    "with_hardest",
]
