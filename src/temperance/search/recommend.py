"""From accuracies at some temperatures to a recommendation that knows how sure it is."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.interpolate import make_smoothing_spline
from scipy.optimize import brentq

from temperance.runs.results import Choice, Curve, Shape

CONFIDENCE = 0.90
RESAMPLES = 1000
GRID = 121
# From smooth to close: how freely the curve may bend is not known, and the interval should say so.
DEGREES_OF_FREEDOM = (4.0, 5.0, 6.0, 7.0)
# With fewer temperatures a spline cannot be fitted: straight lines join the measured points.
FEWEST_FOR_SPLINE = 5


def choose(
    metric: str,
    temperatures: Float[np.ndarray, " t"],
    values: Float[np.ndarray, "t s n"],
    budget: str,
) -> Choice:
    r"""The temperature at which a metric is best, with its 90 % interval.

    Smoothing splines over log τ, of 4 to 7 degrees of freedom, are fitted to the means over seeds and
    images and averaged; the recommendation is where that curve is highest. The interval is that of the
    same point over 1,000 bootstrap samples, each with one of the splines. They draw validation images and
    seeds, the same for all temperatures, since these are compared on the same images, and from the same first
    weights on the same views; the seeds' deviations are scaled by :math:`\sqrt{s/(s-1)}`, for which a
    bootstrap of few seeds is too narrow. The curve is called flat when its range is no larger than what
    comes about in one of twenty cases if, within each seed, the temperatures are shuffled; the interval is
    then the whole range. With fewer than five temperatures straight lines stand for the splines, and the
    interval reaches to the neighbours of the best temperature tried, since nothing is known of what lies
    between.

    Args:
        metric: its name in ``results.json``.
        temperatures: ``(t,)`` rising.
        values: ``(t, s, n)``: temperature, seed, validation image; higher is better.
        budget: how long was trained, in words, for the reason.

    Example:
        >>> import numpy as np
        >>> taus = np.geomspace(0.03, 1.0, 8)
        >>> level = 0.9 - 0.1 * np.log10(taus / 0.2) ** 2
        >>> right = np.random.default_rng(0).random((8, 3, 4000)) < level[:, None, None]
        >>> choice = choose("features.linear_accuracy", taus, right.astype(float), "15 epochs")
        >>> choice.shape, 0.1 < choice.temperature < 0.4
        ('peak', True)
    """
    log_tau = np.log(temperatures)
    grid = np.union1d(np.linspace(log_tau[0], log_tau[-1], GRID), log_tau)
    smoothers = _smoothers(tuple(log_tau), tuple(grid))
    seed_means = values.mean(axis=2, dtype=np.float64)
    mean_smoother = np.mean(smoothers, axis=0)
    curve = mean_smoother @ seed_means.mean(axis=1)
    shares = np.array_split(_bootstrap(values), len(smoothers))
    samples = np.concatenate([x @ s.T for x, s in zip(shares, smoothers, strict=True)])
    # Of several highest points, as on a constant curve, the middle one.
    highest = np.flatnonzero(curve >= curve.max() - 1e-9)
    top = int(highest[len(highest) // 2])
    best = float(np.exp(grid[top]))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.exp(np.percentile(grid[samples.argmax(axis=1)], [tail, 100 - tail]))
    if len(temperatures) < FEWEST_FOR_SPLINE:
        low = temperatures[max(0, np.searchsorted(temperatures, low * 1.0001) - 2)]
        high = temperatures[
            min(len(temperatures) - 1, np.searchsorted(temperatures, high * 1.0001))
        ]
    at_measured = [int(np.abs(grid - x).argmin()) for x in log_tau]
    ties = [
        float(t)
        for t, place in zip(temperatures, at_measured, strict=True)
        if (samples[:, place] >= samples[:, top]).mean() > (1 - CONFIDENCE) / 2
    ]
    shape = _shape(curve, seed_means, mean_smoother, top)
    if shape == "flat":  # where the curve does not say, the whole range may hold the best
        low, high = temperatures[0], temperatures[-1]
    interval = (_rounded(low), _rounded(high)) if len(temperatures) > 1 else None
    band = np.percentile(samples, [tail, 100 - tail], axis=0)
    choice = Choice(
        temperature=_rounded(best) if len(temperatures) > 1 else float(temperatures[0]),
        interval=interval,
        metric=metric,
        shape=shape,
        reason="",
        best_per_seed={
            str(seed): float(temperatures[means.argmax()])
            for seed, means in enumerate(seed_means.T)
        },
        ties=ties,
        curve=Curve(
            temperature=[_rounded(t, 5) for t in np.exp(grid)],
            value=_list(curve),
            low=_list(band[0]),
            high=_list(band[1]),
        ),
    )
    reason = _reason(choice, temperatures, curve, budget, seeds=values.shape[1])
    return choice.model_copy(update={"reason": reason})


@lru_cache(maxsize=8)
def _smoothers(
    points: tuple[float, ...], grid: tuple[float, ...]
) -> list[Float[np.ndarray, "g t"]]:
    """Matrices that take values at the points to fitted curves on the grid."""
    span = points[-1] - points[0] or 1.0
    x, at = ((np.array(values) - points[0]) / span for values in (points, grid))
    units = np.eye(len(x))
    if len(x) < FEWEST_FOR_SPLINE:
        return [np.stack([np.interp(at, x, unit) for unit in units], axis=1)]

    def matrix(log_penalty: float, where: np.ndarray) -> np.ndarray:
        splines = [make_smoothing_spline(x, unit, lam=np.exp(log_penalty)) for unit in units]
        return np.stack([spline(where) for spline in splines], axis=1)

    def with_freedom(wanted: float) -> np.ndarray:
        return matrix(brentq(lambda p: np.trace(matrix(p, x)) - wanted, -45, 15, xtol=1e-3), at)

    return [with_freedom(wanted) for wanted in DEGREES_OF_FREEDOM if wanted < len(x)]


def _bootstrap(values: Float[np.ndarray, "t s n"]) -> Float[np.ndarray, "b t"]:
    """Means at each temperature over resampled images and seeds.

    A seed has the same first weights and views at every temperature, so it is drawn for all of them at once.
    """
    t, s, n = values.shape
    random = np.random.default_rng(0)
    weights = random.multinomial(n, np.full(n, 1 / n), size=RESAMPLES) / n
    means = (weights @ values.reshape(t * s, n).T.astype(np.float64)).reshape(RESAMPLES, t, s)
    if s > 1:
        centre = means.mean(axis=2, keepdims=True)
        means = centre + (means - centre) * np.sqrt(s / (s - 1))
    drawn = random.integers(0, s, size=(RESAMPLES, 1, s)).repeat(t, axis=1)
    drawn_means: Float[np.ndarray, "b t"] = np.take_along_axis(means, drawn, axis=2).mean(axis=2)
    return drawn_means


def _shape(
    curve: Float[np.ndarray, " g"],
    seed_means: Float[np.ndarray, "t s"],
    smoother: Float[np.ndarray, "g t"],
    top: int,
) -> Shape:
    random = np.random.default_rng(1)
    shuffled = [random.permuted(seed_means, axis=0).mean(axis=1) for _ in range(RESAMPLES)]
    if np.ptp(curve) <= np.quantile(np.ptp(np.stack(shuffled) @ smoother.T, axis=1), 0.95):
        return "flat"
    if top == 0:
        return "edge-low"
    return "edge-high" if top == len(curve) - 1 else "peak"


NAMES = {
    "features.knn_accuracy": "The kNN accuracy on the features",
    "features.linear_accuracy": "The accuracy of the linear probe on the features",
    "features.few_shot_accuracy": "The five-shot accuracy on the features",
    "projection.knn_accuracy": "The kNN accuracy on the projection",
    "projection.linear_accuracy": "The accuracy of the linear probe on the projection",
    "projection.few_shot_accuracy": "The five-shot accuracy on the projection",
    "geometry.neighbour_consistency": "The consistency of neighbours",
}


def settle(asked: Choice, others: Sequence[Choice]) -> Choice:
    """The choice for the metric asked for; if its curve is flat, at the τ that serves another use best.

    Args:
        asked: for the metric asked for.
        others: for other uses, first the one that should decide.
    """
    decided = next((other for other in others if other.shape != "flat"), None)
    if asked.shape != "flat" or decided is None:
        return asked
    name = NAMES[decided.metric]
    best = f"{decided.temperature:g}"
    reason = f"{asked.reason} {name} does depend on τ and is best at {best}, so that is taken."
    return asked.model_copy(update={"temperature": decided.temperature, "reason": reason})


def _reason(
    choice: Choice,
    temperatures: Float[np.ndarray, " t"],
    curve: Float[np.ndarray, " g"],
    budget: str,
    seeds: int,
) -> str:
    name = NAMES[choice.metric]
    first, last = f"{temperatures[0]:g}", f"{temperatures[-1]:g}"
    best = f"{choice.temperature:g}"
    span = f"{100 * np.ptp(curve):.1f} points"
    words = []
    if choice.interval is None:
        return f"Only τ = {first} was tried, so nothing can be said about other temperatures."
    interval = f"90 % interval {choice.interval[0]:g} to {choice.interval[1]:g}"
    match choice.shape:
        case "flat":
            words.append(
                f"The curve is flat. {name} changes by {span} between τ = {first} and {last}, no more than "
                f"noise would. τ = {best} is its highest point; any τ tried serves as well."
            )
        case "edge-low" | "edge-high":
            side, edge = ("lower", first) if choice.shape == "edge-low" else ("upper", last)
            words.append(
                f"The best τ is at the {side} edge of the range ({edge}): widen it. "
                f"{name} still rises towards it ({interval})."
            )
        case "peak":
            words.append(
                f"{name} peaks at τ = {best} ({interval}), "
                f"{span} above the worst τ between {first} and {last}."
            )
            if choice.interval[0] <= temperatures[0] * 1.001:
                words.append("The interval reaches the lower edge of the range: widen it.")
            if choice.interval[1] >= temperatures[-1] * 0.999:
                words.append("The interval reaches the upper edge of the range: widen it.")
    others = [f"{t:g}" for t in choice.ties]
    if len(others) > 1 and choice.shape != "flat":
        words.append(f"Of the τ tried, {_and(others)} cannot be told from the best.")
    if seeds == 1:
        words.append("One seed: the interval knows the noise of images only, not that of training.")
    words.append(f"This holds for {budget}: longer training moves the best temperature.")
    return " ".join(words)


def _and(items: list[str]) -> str:
    return f"{', '.join(items[:-1])} and {items[-1]}"


def _rounded(x: float, digits: int = 3) -> float:
    return float(f"{x:.{digits}g}")


def _list(x: np.ndarray) -> list[float]:
    return [round(float(v), 6) for v in x]
