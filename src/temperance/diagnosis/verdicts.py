"""From figures to words: each verdict with its number, the threshold it is held against, and the reason."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from temperance.diagnosis.profile import ROOM, Sight
from temperance.diagnosis.results import (
    Level,
    Measure,
    Profile,
    Reading,
    Source,
    Suggestion,
    Verdict,
)

# Effective negatives as a share of all, for the median anchor: below, hardly any negative counts; above, all
# count nearly alike. Encoders of letters and digits trained at the τ that served best lay between.
FEW, MANY = 0.02, 0.5
FALSE = 0.5
SOLVED = 0.05
CONE = 0.5
# Pictures and texts lie in a cone each (Liang et al., NeurIPS 2022), and are none the worse for that.
CONE_OF_TWO = 0.8
POINT = -1.0
FLAT = 0.1
HUBS = 2.0
GAP = 0.5
SAME = 0.01
IDENTICAL = 1 - 1e-5
CAP = 0.01
UNRELATED = 0.02
NEAR = 0.2


@dataclass(frozen=True, eq=False)
class Evidence:
    """What verdicts are made of."""

    data: Source
    sight: Sight
    profile: Profile
    reading: Reading | None
    measures: dict[str, Measure]
    mean_share_of_class: float | None

    def value(self, name: str) -> float:
        """A measure of the space."""
        return self.measures[name].figure.value


def verdicts(evidence: Evidence) -> list[Verdict]:
    """All that can be said; warnings first."""
    found = [verdict for judge in JUDGES if (verdict := judge(evidence)) is not None]
    order: dict[Level, int] = {"warning": 0, "note": 1, "good": 2}
    return sorted(found, key=lambda verdict: order[verdict.level])


def collapsed(evidence: Evidence) -> bool:
    """Whether nearly all vectors point the same way: then a temperature read off them says little."""
    return evidence.value("anisotropy") > _cone_at(evidence) or evidence.value("uniformity") > POINT


def two_kinds(evidence: Evidence) -> bool:
    """Whether rows and partners lie apart, as pictures and texts do."""
    return "modality_gap" in evidence.measures and evidence.value("modality_gap") > GAP


def _cone_at(evidence: Evidence) -> float:
    return CONE_OF_TWO if two_kinds(evidence) else CONE


def strangers(evidence: Evidence) -> bool:
    """Whether partners are hardly more similar than any two rows: shuffled, or nothing has been learnt."""
    if "pretext_accuracy" not in evidence.measures:
        return False
    usual = evidence.value("mean_negative_similarity")
    way = evidence.value("top10_negative_similarity") - usual
    lead = evidence.value("positive_similarity") - usual
    return evidence.value("pretext_accuracy") < UNRELATED and lead < NEAR * way


def suggestion(evidence: Evidence) -> Suggestion | None:
    """The range in which a fair part of the negatives counts, or None where the space shows none.

    None between two kinds, too: cosines there lie so close together that a τ that serves looks low.
    """
    n = evidence.data.negatives
    if collapsed(evidence) or strangers(evidence) or two_kinds(evidence) or FEW * n < 1:
        return None
    median = [x / n for x in evidence.profile.effective_negatives["0.5"]]
    low, high = (_crossing(evidence.profile.temperature, median, share) for share in (FEW, MANY))
    if low is None or high is None:
        return None
    reason = (
        f"between them the median anchor has from {FEW:.0%} to {MANY:.0%} of its negatives as effective "
        "ones. "
        "On letters and digits, encoders trained at the temperatures that served best lay there. It is a "
        "reading of this space, not a retraining: another loss, other data or longer training may want "
        "another"
    )
    sentence = f"Suggested range: τ from {low:.2g} to {high:.2g}, a reading of this space and no retraining"
    reading = evidence.reading
    if reading is None:
        return Suggestion(
            low=low,
            high=high,
            direction=None,
            sentence=f"{sentence}.",
            lowering=None,
            raising=None,
            reason=reason,
        )
    tau = reading.temperature
    direction = "raise" if tau < low else "lower" if tau > high else "keep"
    words = {
        "raise": f"τ = {tau:.3g} lies below it: raise it",
        "lower": f"τ = {tau:.3g} lies above it: lower it",
        "keep": f"τ = {tau:.3g} lies in it: about right",
    }[direction]
    return Suggestion(
        low=low,
        high=high,
        direction=direction,
        sentence=f"{sentence}; {words}.",
        lowering=_what_if(evidence, "Lowering", tau / ROOM),
        raising=_what_if(evidence, "Raising", tau * ROOM),
        reason=reason,
    )


def _crossing(temperatures: list[float], shares: list[float], at: float) -> float | None:
    """The temperature at which a rising curve comes to a value; None if it does not within the grid."""
    if shares[0] > at or shares[-1] < at:
        return None
    right = next(i for i, share in enumerate(shares) if share >= at)
    if right == 0:
        return temperatures[0]
    (a, b), (x, y) = temperatures[right - 1 : right + 1], shares[right - 1 : right + 1]
    part = (math.log(at) - math.log(x)) / (math.log(y) - math.log(x))
    return math.exp(math.log(a) + part * math.log(b / a))


def _what_if(evidence: Evidence, doing: str, tau: float) -> str:
    now, then = evidence.reading, evidence.sight.reading(tau)
    assert now is not None
    words = [
        f"the push would be shared as if among {count(then.effective_negatives)} negatives "
        f"(now {count(now.effective_negatives)})"
    ]
    for name, what in (
        ("top10", "the ten hardest would get {} of it (now {})"),
        ("false_negative_mass", "the anchor's own class {} (now {})"),
        ("estimated_false_negative_mass", "suspected false negatives {} (now {}; an estimate)"),
    ):
        if name in then.figures:
            words.append(
                what.format(percent(then.figures[name].value), percent(now.figures[name].value))
            )
    effect = (
        "a space trained so tends to be more even and to tear kin apart"
        if doing == "Lowering"
        else "a space trained so tends to keep kin together and to tell instances apart less"
    )
    return f"{doing} τ to {tau:.3g}: {', '.join(words)}; {effect}."


def _concentration(e: Evidence) -> Verdict | None:
    if e.reading is None:
        return None
    n, tau = e.data.negatives, e.reading.temperature
    share = e.reading.effective_negatives / n
    most = e.reading.negatives_with_90_percent
    ten = percent(e.reading.figures["top10"].value)
    if most is None:
        words = (
            f"At τ = {tau:.3g} the push is shared as if among {count(e.reading.effective_negatives)} of "
            f"{n:,} negatives; the ten hardest get {ten} of it"
        )
    else:
        on_most = f"90 % of the push falls on {most} of {n:,} negatives"
        words = f"At τ = {tau:.3g}, {on_most}, {ten} on the ten hardest"
    if share < FEW and two_kinds(e):
        return Verdict(
            name="concentration",
            level="note",
            value=share,
            threshold=FEW,
            sentence=f"{words}: few count, as is usual between two kinds at a low τ.",
            reason=f"for the median anchor {share:.2%} of the negatives are effective, below {FEW:.0%}; "
            "that threshold is of spaces of one kind, and between two cosines lie closer together",
        )
    if share < FEW:
        return Verdict(
            name="concentration",
            level="warning",
            value=share,
            threshold=FEW,
            sentence=f"{words}: few count.",
            reason=f"for the median anchor {share:.2%} of the negatives are effective, below {FEW:.0%}",
        )
    if share > MANY:
        return Verdict(
            name="concentration",
            level="warning",
            value=share,
            threshold=MANY,
            sentence=f"{words}: nearly all count alike, hard or easy.",
            reason=f"for the median anchor {share:.0%} of the negatives are effective, above {MANY:.0%}",
        )
    return Verdict(
        name="concentration",
        level="note" if collapsed(e) or strangers(e) else "good",
        value=share,
        threshold=FEW,
        sentence=f"{words}.",
        reason=f"for the median anchor {share:.1%} of the negatives are effective, from {FEW:.0%} to "
        f"{MANY:.0%}",
    )


def _false_negatives(e: Evidence) -> Verdict | None:
    if e.reading is None:
        return None
    if "false_negative_mass" in e.reading.figures:
        value = e.reading.figures["false_negative_mass"].value
        assert e.mean_share_of_class is not None
        times = value / e.mean_share_of_class
        return Verdict(
            name="false_negatives",
            level="warning" if value > FALSE else "note",
            value=value,
            threshold=FALSE,
            sentence=f"{percent(value)} of the push falls on negatives of the anchor's own class, "
            f"{times:.2g} times their share of the negatives.",
            reason=f"above {FALSE:.0%} most of what the loss does is to tear classes apart",
        )
    if "estimated_false_negative_mass" in e.reading.figures:
        value = e.reading.figures["estimated_false_negative_mass"].value
        return Verdict(
            name="false_negatives",
            level="note",
            value=value,
            threshold=FALSE,
            sentence=f"{percent(value)} of the push falls on neighbours that choose each other, which may "
            "be false "
            "negatives: an estimate, since there are no labels.",
            reason="mutual nearest neighbours are often kin; in a random space they are chance, and the "
            "estimate "
            "knows nothing of kin beyond the ten nearest",
        )
    return None


def _solved(e: Evidence) -> Verdict | None:
    if e.reading is None or "unsolved" not in e.reading.figures:
        return None
    value = e.reading.figures["unsolved"].value
    few = value < SOLVED
    return Verdict(
        name="solved",
        level="warning" if few else "good",
        value=value,
        threshold=SOLVED,
        sentence=(
            f"The task is nearly solved: of a full pull only {percent(value)} is left, and there is "
            "little to learn "
            "from. A higher τ or harder negatives would bring some back."
            if few
            else f"Of a full pull {percent(value)} is left: there is something to learn from."
        ),
        reason=f"pull × τ = 1 - P of the positive, mean over anchors; below {SOLVED:.0%} is nearly nothing",
    )


def _slope(e: Evidence) -> Verdict | None:
    if e.reading is None or "slope" not in e.reading.figures:
        return None
    figure = e.reading.figures["slope"]
    value = figure.value
    falls = "fall" if value > 0 else "rise"
    return Verdict(
        name="slope",
        level="note",
        value=value,
        threshold=0.0,
        sentence=f"A learned τ would {falls} from here (dL/dτ = {value:.3g}); that lowers the loss, and "
        "says nothing of "
        "what serves a task.",
        reason="losses at different temperatures are not comparable",
    )


def _capped(e: Evidence) -> Verdict | None:
    if e.reading is None or e.reading.temperature > CAP * 1.005:
        return None
    usual = two_kinds(e) and e.reading.temperature > CAP * 0.995
    return Verdict(
        name="cap",
        level="note" if usual else "warning",
        value=1 / e.reading.temperature,
        threshold=1 / CAP,
        sentence=f"The logit scale is {1 / e.reading.temperature:.4g}, at its usual cap of 100 or beyond: "
        "if it is learned, it has run to the end of its range, and learns no longer"
        + (", as published CLIP models have." if usual else "."),
        reason="CLIP and open_clip cap the scale at 100, τ = 0.01",
    )


def _partners(e: Evidence) -> Verdict | None:
    if "pretext_accuracy" not in e.measures:
        return None
    value = e.value("pretext_accuracy")
    positive, negative = e.value("positive_similarity"), e.value("top10_negative_similarity")
    apart = strangers(e)
    return Verdict(
        name="partners",
        level="warning" if apart else "good",
        value=value,
        threshold=UNRELATED,
        sentence=(
            f"The partner is nearest for only {value:.1%} of the anchors, and the ten hardest negatives "
            "are more "
            f"similar ({negative:.2f} against {positive:.2f}): do the two files have one order?"
            if apart
            else f"The partner is the nearest of all for {value:.1%} of the anchors (cosine "
            f"{positive:.2f}; ten hardest "
            f"negatives {negative:.2f})."
        ),
        reason=f"below {UNRELATED:.0%}, and with a lead over any two rows of less than {NEAR:.0%} of that "
        "of the "
        "hardest negatives, pairs look shuffled, or nothing has been learnt",
    )


def _cone(e: Evidence) -> Verdict | None:
    value = e.value("anisotropy")
    threshold = _cone_at(e)
    narrow = value > threshold
    return Verdict(
        name="cone",
        level="warning" if narrow else "good",
        value=value,
        threshold=threshold,
        sentence=(
            f"The space has collapsed into a narrow cone: two rows have a cosine of {value:.2f} on average."
            if narrow
            else f"No narrow cone: two rows have a cosine of {value:.2f} on average."
        ),
        reason=f"random vectors have 0, a point has 1; above {threshold:g} the common direction is most of a "
        "vector",
    )


def _even(e: Evidence) -> Verdict | None:
    value, random = e.value("uniformity"), e.measures["uniformity"].random
    uneven = value > POINT
    return Verdict(
        name="uniformity",
        level="warning" if uneven else "good",
        value=value,
        threshold=POINT,
        sentence=f"Uniformity is {value:.2f} ({'nearly a point; ' if uneven else ''}random vectors "
        f"{random:.2f}, a "
        "point 0).",
        reason=f"published encoders have from -3.9 to -3.0; above {POINT:g} little of the sphere is used",
    )


def _rank(e: Evidence) -> Verdict | None:
    value, random = e.value("effective_rank"), e.measures["effective_rank"].random
    assert random is not None
    flat = value < FLAT * random
    return Verdict(
        name="rank",
        level="warning" if flat else "good",
        value=value,
        threshold=FLAT * random,
        sentence=f"{value:.3g} dimensions are in use of {e.data.width} (random vectors: {random:.3g})"
        + (": the space has few directions left." if flat else "."),
        reason=f"below {FLAT:.0%} of what random vectors use, many dimensions carry nothing",
    )


def _hubs(e: Evidence) -> Verdict | None:
    value, random = e.value("hubness"), e.measures["hubness"].random
    assert random is not None
    threshold = HUBS * max(1.0, random)
    if value <= threshold:
        return None
    return Verdict(
        name="hubs",
        level="note",
        value=value,
        threshold=threshold,
        sentence=f"There are hubs: rows that are near neighbours of very many (skewness {value:.2g}, "
        "random vectors "
        f"{random:.2g}). They get a push from all sides.",
        reason=f"above {HUBS:g} times what random vectors of this shape have, and no less than {HUBS:g}",
    )


def _gap(e: Evidence) -> Verdict | None:
    if "modality_gap" not in e.measures:
        return None
    value = e.value("modality_gap")
    if value <= GAP:
        return None
    return Verdict(
        name="gap",
        level="note",
        value=value,
        threshold=GAP,
        sentence=f"The two kinds lie apart: their means are {value:.2f} from each other. Cosines between "
        "kinds are comparable with each other only, not with those within one kind, and no range of τ is "
        "suggested: what is known of it comes from spaces of one kind.",
        reason="the modality gap of Liang et al. (NeurIPS 2022); a low τ keeps it open",
    )


def _duplicates(e: Evidence) -> Verdict | None:
    same = (e.sight.seen.top_similarity[:, 0] > IDENTICAL).double()
    value = float(same.mean())
    if value <= SAME:
        return None
    return Verdict(
        name="duplicates",
        level="warning",
        value=value,
        threshold=SAME,
        sentence=f"{value:.1%} of the anchors have a negative that is the same vector: duplicates, which "
        "a low τ pushes "
        "with all its force.",
        reason=f"cosine above 1 - 1e-5 for more than {SAME:.0%} of the anchors",
    )


JUDGES: tuple[Callable[[Evidence], Verdict | None], ...] = (
    _capped,
    _cone,
    _even,
    _rank,
    _duplicates,
    _partners,
    _concentration,
    _false_negatives,
    _solved,
    _slope,
    _hubs,
    _gap,
)


def percent(share: float) -> str:
    """A share as people read it.

    Example:
        >>> percent(0.314), percent(0.004)
        ('31 %', '0.4 %')
    """
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.2g} %"


def count(number: float) -> str:
    """How many, with no more digits than it has.

    Example:
        >>> count(12.3), count(3456.7)
        ('12', '3,457')
    """
    return f"{number:.2g}" if number < 10 else f"{number:,.0f}"


def mean_share_of_class(classes: torch.Tensor, anchors: torch.Tensor) -> float:
    """How many of an anchor's negatives are of its class, as a share, mean over anchors."""
    members = torch.bincount(classes)
    return float((members[classes[anchors]] - 1).double().mean()) / (len(classes) - 1)
