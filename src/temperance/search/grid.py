"""What a search within a budget lost to the full grid, where that was made too."""

from pathlib import Path

import numpy as np
from pydantic import ValidationError

from temperance.errors import InputError
from temperance.methods import Recipe
from temperance.runs.results import AgainstGrid, Results, read_results
from temperance.search.config import SearchConfig, SweepConfig


def known_grid(folder: Path, config: SearchConfig) -> Results:
    """The results of a full sweep that a search may be held against.

    Args:
        folder: of the sweep.
        config: of the search.

    Raises:
        InputError: if the folder holds none, or one of other data, another recipe, or too narrow a range.
    """
    results = read_results(folder)
    try:
        grid = SweepConfig.model_validate(results.config)
    except ValidationError as error:
        raise InputError(
            f"--grid {folder} holds no full sweep; name a folder of `temperance sweep` without --budget"
        ) from error
    if grid.fingerprint != config.fingerprint:
        raise InputError(f"--grid {folder} is of other images ({grid.data}); name a sweep of these")
    for name in Recipe.model_fields:
        theirs, ours = getattr(grid, name), getattr(config, name)
        if theirs != ours:
            raise InputError(
                f"--grid {folder} was trained with {name} = {theirs}, this search with {ours}; name a sweep "
                "like it"
            )
    lowest, highest = grid.temperatures[0], grid.temperatures[-1]
    if not lowest <= config.lowest < config.highest <= highest:
        raise InputError(
            f"--grid {folder} reaches from τ = {lowest:g} to {highest:g}, this search from {config.lowest:g} "
            f"to {config.highest:g}; name a wider one, or a narrower range with --temperatures"
        )
    return results


def against_grid(grid: Results, folder: Path, metric: str, temperature: float) -> AgainstGrid:
    """Test accuracy at the best temperature of the grid less that at the one chosen.

    Both are means over the grid's seeds, between its temperatures interpolated over log τ.

    Args:
        grid: results of the full sweep.
        folder: where they are.
        metric: such as ``features.linear_accuracy``.
        temperature: that the search chose.
    """
    groups = grid.by_temperature()
    means = [
        float(np.mean([run.test.accuracy(metric) for run in runs])) for runs in groups.values()
    ]
    taus = np.array(list(groups))
    best = int(np.argmax(means))
    chosen = float(np.interp(np.log(temperature), np.log(taus), means))
    return AgainstGrid(
        folder=str(folder),
        trainings=len(grid.runs),
        temperature=float(taus[best]),
        best=means[best],
        chosen=chosen,
    )


def grid_in_words(temperature: float, found: AgainstGrid) -> str:
    """One sentence."""
    return (
        f"On the full grid in {found.folder} ({found.trainings} trainings) τ = {found.temperature:g} is best "
        f"with {found.best:.1%} of the test images; at τ = {temperature:g}, on the line between its "
        f"temperatures, it is {found.chosen:.1%}, {100 * found.regret:.1f} points less."
    )
