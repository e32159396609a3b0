"""The diagnosis as a whole: sample anchors, let all candidates pass, read off, judge."""

import platform
import time
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from temperance.contrast import in_threads, workers_for
from temperance.diagnosis.inputs import Given, checked, checked_temperature
from temperance.diagnosis.intervals import Resampling
from temperance.diagnosis.profile import TOP, Grid, Sight
from temperance.diagnosis.results import Case, Diagnosis, Negative, Source, Suspect
from temperance.diagnosis.space import Sample, histogram, measures
from temperance.diagnosis.streaming import Anchors, stream
from temperance.diagnosis.suspects import NEIGHBOURS, by_class, by_mutual_neighbours
from temperance.diagnosis.verdicts import Evidence, mean_share_of_class, suggestion, verdicts
from temperance.errors import InputError

ANCHORS = 2048
CASES = 8
# A usual τ, to order hard negatives by where none is given.
USUAL = 0.1

OnRows = Callable[[str, int, int], None]


def diagnose(
    x: Any,
    y: Any = None,
    labels: Any = None,
    temperature: Any = None,
    *,
    negatives: Any = None,
    anchors: int | None = None,
    seed: int = 0,
) -> Diagnosis:
    r"""Say what a temperature does on embeddings that there are: no training, no labels needed.

    For anchors sampled from x and all candidates it takes, at each τ of a dense grid, the loss
    :math:`-\log P`, the effective negatives :math:`\exp H(r)` with :math:`r_k \propto e^{s_k/\tau}`, the
    shares of the
    push on the hardest negatives and on those of the anchor's class, the pull :math:`(1-P)/\tau` and the
    slope in τ
    (Wang & Liu, CVPR 2021, arXiv 2012.09740); it measures the space, and judges. s is the cosine.

    Args:
        x: ``(n, d)`` array or tensor of embeddings, of any length; an array mapped from a file is never held
            whole.
        y: ``(n, d)``, row i the partner (positive) of row i of x: another view, a text of a picture. The
            negatives are the other rows of y. Without y they are the other rows of x, and what needs a
            positive is
            left out.
        labels: n classes of any kind, to tell false negatives.
        temperature: τ, a number from 0.001 to 100, to judge; without it the profile and the space are.
        negatives: ``(k, d)``: all negatives there are, in place of other rows.
        anchors: how many rows to sample; 2,048 unless told. Intervals are of 95 %, by bootstrap over them.
        seed: of the sample.

    Returns:
        What was found; ``print`` it, or let a notebook show it.

    Raises:
        InputError: on whatever cannot be compared; the message names it.

    Example:
        >>> import torch
        >>> x = torch.randn(500, 16, generator=torch.Generator().manual_seed(0))
        >>> found = diagnose(x, temperature=0.5)
        >>> found.suggestion.direction
        'lower'
        >>> print(found.headline())
        x: 500 × 16, 500 anchors against 499 negatives each at τ = 0.5
    """
    return diagnosis_of(checked(x, y, labels, negatives), temperature, anchors=anchors, seed=seed)


def diagnosis_of(
    given: Given,
    temperature: Any,
    *,
    anchors: int | None = None,
    seed: int = 0,
    on_rows: OnRows = lambda what, rows, total: None,
) -> Diagnosis:
    """``diagnose`` on what has been looked through.

    Args:
        given: what to diagnose.
        temperature: τ, or None.
        anchors: how many rows to sample.
        seed: of the sample.
        on_rows: called with what is being done, how many rows are done with since the last call, and of how
            many.
    """
    begun = time.perf_counter()
    tau = checked_temperature(temperature)
    index = _sampled(given, anchors, seed)
    classes = None if given.classes is None else given.classes[index]
    of_negatives = None if given.negatives is not None else given.classes
    x = given.x.take(index)
    y = None if given.y is None else given.y.take(index)
    grid = Grid.around(tau)
    seen = stream(
        Anchors(x, None if given.negatives is not None else index, classes),
        given.candidates,
        grid.exact,
        grid.between,
        of_negatives,
        min(TOP, given.negatives_each),
        lambda rows: on_rows("comparing", rows, len(given.candidates)),
    )
    suspects = by_class(given, index, seen)
    if suspects is None:
        suspects = by_mutual_neighbours(
            given, index, seen, lambda rows: on_rows("neighbours", rows, len(given.x))
        )
    resampling = Resampling(len(index), len(given.x), seed)
    few = None if suspects is None else Resampling(len(suspects.anchors), len(given.x), seed)
    positive = None if y is None else (x * y).sum(dim=1).double()
    sight = Sight(seen, positive, given.negatives_each, suspects, resampling, few)
    sample = Sample(x, y, classes, given.negatives_each)
    # Many small operations: each of these is done on one core, beside the others.
    tasks: list[Callable[[], Any]] = [
        lambda: sight.profile(grid),
        lambda: measures(sample, seen, resampling),
        lambda: None if tau is None else sight.reading(tau),
        lambda: histogram(sample, seen),
    ]
    shared = in_threads(
        lambda worker, workers: {i: tasks[i]() for i in range(worker, len(tasks), workers)},
        workers_for(len(x) ** 2, x.device),
        x.device,
    )
    done = {i: result for part in shared for i, result in part.items()}
    profile, measured, reading, similarities = (done[i] for i in range(len(tasks)))
    data = _source(given, len(index))
    evidence = Evidence(
        data,
        sight,
        profile,
        reading,
        {measure.name: measure for measure in measured},
        None if of_negatives is None else mean_share_of_class(of_negatives, index),
    )
    suggested = suggestion(evidence)
    found = Diagnosis(
        data=data,
        temperature=tau,
        reading=reading,
        profile=profile,
        measures=measured,
        histogram=similarities,
        verdicts=verdicts(evidence),
        suggestion=suggested,
        cases=[],
        environment=_environment(seed, begun),
    )
    at = tau or ((suggested.low * suggested.high) ** 0.5 if suggested else USUAL)
    found.cases = _cases(sight, index, classes, grid, at)
    found._suspects = _suspects(sight, index, at)
    return found


def _sampled(given: Given, anchors: int | None, seed: int) -> Int[Tensor, " a"]:
    """Rows of the anchors: rising, and those of a class together."""
    n = len(given.x)
    if anchors is not None and not 2 <= anchors <= n:
        raise InputError(f"{anchors} anchors cannot be drawn from {n} rows; give from 2 to {n}")
    generator = torch.Generator().manual_seed(seed)
    index = torch.randperm(n, generator=generator)[: anchors or min(ANCHORS, n)].sort().values
    return index if given.classes is None else index[given.classes[index].argsort(stable=True)]


def _source(given: Given, anchors: int) -> Source:
    notes = [
        f"{rows.name} has rows of length {rows.shortest:.3g} to {rows.longest:.3g}; they were brought to "
        "length 1, since the cosine compares directions"
        for rows in (given.x, given.y, given.negatives)
        if rows is not None and not rows.of_unit_length
    ]
    if given.y is None:
        notes.append(
            "no partners were given: loss, pull and what else needs a positive are left out"
        )
    if given.classes is not None and given.negatives is not None:
        notes.append("the classes of the negatives are not known: false negatives are not told")
    return Source(
        name=given.x.name,
        rows=len(given.x),
        width=given.x.width,
        pairs=None if given.y is None else given.y.name,
        negatives=given.negatives_each,
        classes=list(given.names),
        anchors=anchors,
        notes=notes,
    )


def _cases(
    sight: Sight, index: Tensor, classes: Tensor | None, grid: Grid, temperature: float
) -> list[Case]:
    """Anchors to show: those first that push most on suspected false negatives; each of another class."""
    seen = sight.seen
    log_sum = seen.negatives.at([temperature]).log_sum[0]
    share = (seen.top_similarity[:, :NEIGHBOURS].double() / temperature - log_sum[:, None]).exp()
    suspects = sight.suspects
    some = torch.arange(len(index)) if suspects is None else suspects.anchors
    weight = share[some].sum(dim=1)
    if suspects is not None:
        weight += 2 * (share[some] * suspects.false).sum(dim=1)
    chosen: list[int] = []
    for i in weight.argsort(descending=True, stable=True).tolist():
        anchor = int(some[i])
        used = set() if classes is None else {int(classes[some[j]]) for j in chosen}
        if classes is None or int(classes[anchor]) not in used:
            chosen.append(i)
        if len(chosen) == CASES:
            break
    sums = seen.negatives.at(grid.points).log_sum
    cases = []
    for i in chosen:
        anchor = int(some[i])
        negatives = [
            Negative(
                row=int(seen.top_index[anchor, k]),
                similarity=float(seen.top_similarity[anchor, k]),
                false=None if suspects is None else bool(suspects.false[i, k]),
            )
            for k in range(share.shape[1])
        ]
        positive = None if sight.positive is None else float(sight.positive[anchor])
        cases.append(
            Case(
                row=int(index[anchor]),
                positive_similarity=positive,
                negatives=negatives,
                log_sum=sums[:, anchor].tolist(),
            )
        )
    return cases


def _suspects(sight: Sight, index: Tensor, temperature: float) -> list[Suspect]:
    """The ten hardest negatives of all anchors, false ones first, most pushed first."""
    seen, suspects = sight.seen, sight.suspects
    log_sum = seen.negatives.at([temperature]).log_sum[0]
    similarity = seen.top_similarity[:, :NEIGHBOURS].double()
    share = (similarity / temperature - log_sum[:, None]).exp()
    false = (
        {}
        if suspects is None
        else dict(zip(suspects.anchors.tolist(), suspects.false, strict=True))
    )
    found = [
        Suspect(
            anchor=int(index[a]),
            negative=int(seen.top_index[a, k]),
            similarity=float(similarity[a, k]),
            share=float(share[a, k]),
            false=bool(false[a][k]) if a in false else None,
        )
        for a in range(len(index))
        for k in range(share.shape[1])
    ]
    return sorted(found, key=lambda s: (not s.false, -s.share))


def _environment(seed: int, begun: float) -> dict[str, str | int | float]:
    from temperance import __version__

    return {
        "temperance": __version__,
        "torch": str(torch.__version__),
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "seed": seed,
        "seconds": round(time.perf_counter() - begun, 3),
    }
