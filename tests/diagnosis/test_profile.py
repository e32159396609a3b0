"""Each figure of a diagnosis against float64 matrices written straight from the equations."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

import temperance
import temperance.diagnosis
from temperance import InputError, diagnose
from temperance.contrast import threads
from temperance.diagnosis import moments, rows, streaming
from temperance.diagnosis.intervals import Resampling
from temperance.diagnosis.moments import LEFT_OUT, Moments, Spare
from temperance.diagnosis.profile import Grid
from temperance.functional import at_temperatures
from temperance.geometry import alignment, anisotropy, tolerance, uniformity

TAU = 0.1


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def clusters(n: int, d: int, kinds: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of some classes, and partners near them."""
    labels = torch.arange(n) * 7 % kinds
    x = 1.2 * randn(kinds, d, seed=9)[labels] + randn(n, d)
    return x, x + 0.5 * randn(n, d, seed=1), labels


class Dense:
    """What an anchor sees, in one float64 matrix."""

    def __init__(self, x: Tensor, y: Tensor, own: bool) -> None:
        self.s = normalize(x, dim=1) @ normalize(y, dim=1).T
        if own:
            self.s.fill_diagonal_(-math.inf)

    def at(self, tau: float) -> tuple[Tensor, Tensor]:
        log_sum = (self.s / tau).logsumexp(dim=1)
        return log_sum, torch.exp(self.s / tau - log_sum[:, None])


@pytest.fixture
def small_pieces(monkeypatch) -> None:
    """Several pieces, blocks, tiles and threads, however small the input."""
    monkeypatch.setattr(rows, "PIECE", 900)
    monkeypatch.setattr(streaming, "BLOCK", 48)
    monkeypatch.setattr(moments, "HEIGHT", 7)
    monkeypatch.setattr(moments, "WIDTH", 33)
    monkeypatch.setattr(threads, "SMALL", 0)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("labelled", [True, False])
def test_pairs_at_every_temperature_are_as_the_dense_form(labelled: bool) -> None:
    x, y, labels = clusters(300, 12, 6)
    found = diagnose(x, y, labels if labelled else None, TAU)
    dense = Dense(x, y, own=True)
    positive = (normalize(x, dim=1) * normalize(y, dim=1)).sum(dim=1)
    same = labels[:, None] == labels
    seen = at_temperatures(x, y, temperatures=found.profile.temperature)
    curves = found.profile.curves
    for i, tau in enumerate(found.profile.temperature):
        log_sum, r = dense.at(tau)
        p = torch.sigmoid(log_sum - positive / tau)
        tops = r.topk(100, dim=1).values.cumsum(dim=1).mean(dim=0)
        expected = {
            "loss": torch.log1p(torch.exp(log_sum - positive / tau)),
            "pull": p / tau,
            "unsolved": p,
            "effective_share": torch.special.entr(r).sum(dim=1).exp() / 299,
            "top1": tops[0],
            "top10": tops[9],
            "top100": tops[99],
            "slope": seen.slope[i],
        }
        if labelled:
            expected["false_negative_mass"] = (r * same).sum(dim=1)
        for name, value in expected.items():
            size = 1 + float(value.abs().mean())
            assert curves[name].mean[i] == pytest.approx(float(value.mean()), abs=1e-4 * size), name
        for q, values in found.profile.effective_negatives.items():
            counts = 299 * expected["effective_share"]
            assert values[i] == pytest.approx(float(counts.quantile(float(q))), rel=1e-3)
    assert found.profile.interpolation_error < 1e-4
    assert found.profile.curves.keys() == expected.keys() | (
        set() if labelled else {"estimated_false_negative_mass"}
    )


@pytest.mark.usefixtures("small_pieces")
def test_the_reading_is_exact_at_the_temperature_asked_for() -> None:
    x, y, labels = clusters(300, 12, 6)
    found = diagnose(x, y, labels, TAU)
    _, r = Dense(x, y, own=True).at(TAU)
    assert found.reading is not None
    figures = found.reading.figures
    same = labels[:, None] == labels
    assert figures["false_negative_mass"].value == pytest.approx(
        float((r * same).sum(dim=1).mean()), abs=1e-5
    )
    assert figures["loss"].value == pytest.approx(
        float(at_temperatures(x, y, temperatures=[TAU]).loss.mean()), rel=1e-5
    )
    needed = (r.sort(dim=1, descending=True).values.cumsum(dim=1) < 0.9).sum(dim=1) + 1
    assert found.reading.negatives_with_90_percent == int(needed.median())
    effective = torch.special.entr(r).sum(dim=1).exp()
    assert found.reading.effective_negatives == pytest.approx(float(effective.median()), rel=1e-5)
    # All rows are anchors: nothing is uncertain.
    assert figures["loss"].low == figures["loss"].high == figures["loss"].value


@pytest.mark.usefixtures("small_pieces")
def test_one_matrix_has_its_other_rows_as_negatives() -> None:
    x, _, labels = clusters(200, 9, 4)
    found = diagnose(x, labels=labels, temperature=TAU)
    _, r = Dense(x, x, own=True).at(TAU)
    assert found.reading is not None
    assert found.reading.figures.keys().isdisjoint({"loss", "pull", "slope", "unsolved"})
    assert found.reading.figures["top10"].value == pytest.approx(
        float(r.topk(10, dim=1).values.sum(dim=1).mean()), abs=1e-5
    )
    assert found.measure("tolerance") == pytest.approx(tolerance(x, labels), abs=1e-6)
    assert found.measure("uniformity") == pytest.approx(uniformity(x), abs=1e-6)
    assert found.measure("anisotropy") == pytest.approx(anisotropy(x), abs=1e-6)
    assert "no partners were given" in str(found)


@pytest.mark.usefixtures("small_pieces")
def test_negatives_of_their_own_are_all_negatives() -> None:
    x, y, _ = clusters(120, 9, 4)
    queue = randn(333, 9, seed=5)
    found = diagnose(x, y, temperature=TAU, negatives=queue)
    told = at_temperatures(x, y, queue, temperatures=[TAU])
    assert found.reading is not None
    assert found.data.negatives == 333
    assert found.reading.figures["loss"].value == pytest.approx(float(told.loss.mean()), rel=1e-5)
    assert found.measure("alignment") == pytest.approx(alignment(x, y), abs=1e-6)
    assert all(n.false is None for case in found.cases for n in case.negatives)


def test_shares_of_a_case_come_back_from_its_log_sums() -> None:
    x, y, labels = clusters(150, 8, 5)
    found = diagnose(x, y, labels, TAU)
    dense = Dense(x, y, own=True)
    for i in (0, 30, 60):
        _, r = dense.at(found.profile.temperature[i])
        for case in found.cases:
            for negative in case.negatives:
                share = math.exp(
                    negative.similarity / found.profile.temperature[i] - case.log_sum[i]
                )
                assert share == pytest.approx(float(r[case.row, negative.row]), abs=1e-4)
                assert negative.false == bool(labels[case.row] == labels[negative.row])
    assert len({int(labels[case.row]) for case in found.cases}) == len(found.cases) == 5


def test_mutual_neighbours_are_those_that_choose_each_other() -> None:
    x, _, _ = clusters(130, 6, 5)
    found = diagnose(x, temperature=TAU)
    s = Dense(x, x, own=True).s
    nearest = [set(row.tolist()) for row in s.topk(10, dim=1).indices]
    assert len(found.suspects) == 1300
    for suspect in found.suspects:
        assert suspect.false == (suspect.anchor in nearest[suspect.negative])
    shares = [s.share for s in found.suspects if s.false]
    assert shares == sorted(shares, reverse=True)
    assert all(s.false for s in found.suspects[: len(shares)])


def test_labels_of_any_kind_and_arrays_of_any_kind_say_the_same() -> None:
    x, y, labels = clusters(100, 8, 3)
    first = diagnose(x, y, labels, TAU)
    names = [f"class {i}" for i in labels.tolist()]
    second = diagnose(x.numpy().astype(np.float32), y.float(), names, TAU)
    assert second.data.classes == ["class 0", "class 1", "class 2"]
    assert second.reading is not None
    assert first.reading is not None
    assert second.reading.figures["false_negative_mass"].value == pytest.approx(
        first.reading.figures["false_negative_mass"].value, abs=1e-5
    )
    half = diagnose(x.to(torch.bfloat16), y.to(torch.bfloat16), names, TAU)
    assert half.reading is not None
    assert half.reading.effective_negatives == pytest.approx(
        first.reading.effective_negatives, rel=0.05
    )


@settings(deadline=None, max_examples=40)
@given(n=st.integers(2, 60), scale=st.floats(0.01, 1), seed=st.integers(0, 99))
def test_moments_between_temperatures_are_near_the_truth(n: int, scale: float, seed: int) -> None:
    s = (scale * randn(3, n, seed=seed)).clamp(-1, 1)
    grid = Grid.around(None)
    sums = Moments(3, grid.exact)
    for part in s.float().split(17, dim=1):
        sums.add(slice(0, 3), part, Spare())
    seen = sums.at(grid.points)
    truth = torch.stack([(s.float().double() / t).logsumexp(dim=1) for t in grid.points])
    torch.testing.assert_close(seen.log_sum, truth, atol=1e-4, rtol=1e-6)
    assert bool((seen.entropy <= math.log(n) + 1e-3).all())


def test_what_is_left_out_counts_for_nothing() -> None:
    sums = Moments(2, [0.01, 1.0, 100.0])
    sums.add(slice(0, 2), torch.tensor([[LEFT_OUT, 0.5], [LEFT_OUT, LEFT_OUT]]), Spare())
    seen = sums.at([0.01, 1.0, 100.0])
    assert seen.log_sum[:, 0].tolist() == pytest.approx([50, 0.5, 0.005])
    assert seen.entropy[:, 0].tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert seen.log_sum[:, 1].tolist() == [-math.inf] * 3


def test_an_interval_shrinks_as_the_sample_fills_the_population() -> None:
    values = randn(100)
    wide, half, none = (Resampling(100, n).interval(values) for n in (10**9, 200, 100))
    assert float(wide[2] - wide[1]) == pytest.approx(2 * 1.96 * float(values.std()) / 10, rel=0.15)
    assert float(half[2] - half[1]) == pytest.approx(float(wide[2] - wide[1]) / math.sqrt(2))
    assert none[1] == none[2] == none[0]


def test_it_is_exported_without_being_loaded() -> None:
    assert temperance.diagnose is diagnose
    with pytest.raises(AttributeError, match="has no attribute 'diagnoze'"):
        temperance.diagnoze  # noqa: B018


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": randn(30)}, "x has shape"),
        ({"x": randn(5, 3)}, "x has 5 rows; give at least 10"),
        ({"x": [[1.0, 2.0], [1.0]]}, "rows of different lengths"),
        ({"x": torch.ones(30, 4, dtype=torch.int64)}, "holds int64"),
        ({"x": randn(30, 4), "y": randn(29, 4)}, "one partner of the same width for each row"),
        ({"x": randn(30, 4), "y": randn(30, 5)}, "one partner of the same width for each row"),
        ({"x": randn(30, 4), "negatives": randn(9, 5)}, "as wide as x"),
        ({"x": randn(30, 4), "labels": [0] * 29}, "give one for each of the 30 rows"),
        ({"x": randn(30, 4), "labels": ["a"] * 30}, "labels name one class only, a"),
        ({"x": randn(30, 4), "labels": range(30)}, "a class of its own"),
        ({"x": randn(30, 4), "temperature": 0}, "temperature 0 is not between"),
        ({"x": randn(30, 4), "temperature": math.nan}, "temperature nan is not between"),
        ({"x": randn(30, 4), "temperature": "warm"}, "temperature 'warm' is not a number"),
        ({"x": randn(30, 4), "anchors": 31}, "31 anchors cannot be drawn from 30 rows"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        diagnose(**arguments)
    assert "\n" not in str(caught.value)


def test_rows_without_a_direction_are_counted_and_located() -> None:
    x = randn(40, 3)
    x[[3, 7]] = math.nan
    x[9, 1] = math.inf
    with pytest.raises(
        InputError, match=r"3 of 40 rows of x hold nan or infinity \(rows"
    ) as caught:
        diagnose(x)
    assert "(rows 3, 7, 9)" in str(caught.value)
    with pytest.raises(InputError, match="1 of 40 rows of y is zero and has no direction"):
        diagnose(randn(40, 3), randn(40, 3).index_fill(0, torch.tensor([5]), 0))


def named(found: temperance.diagnosis.Diagnosis) -> dict[str, str]:
    return {verdict.name: verdict.level for verdict in found.verdicts}


def test_a_cone_is_called_one_and_gives_no_range() -> None:
    x = 5 + randn(300, 12)
    found = diagnose(x, x + 0.1 * randn(300, 12, seed=1), temperature=TAU)
    assert named(found)["cone"] == "warning"
    assert found.suggestion is None


def two_cones(n: int, d: int) -> tuple[Tensor, Tensor]:
    """Pictures and texts as CLIP has them: cosines of 0.55 within a kind, of 0.15 across, 0.28 for pairs."""
    common, apart = torch.linalg.qr(randn(d, 2, seed=3))[0].T
    meaning = normalize(randn(n, 10, seed=4) @ randn(10, d, seed=5), dim=1)
    own = (normalize(randn(n, d, seed=6 + k), dim=1) for k in range(2))
    x, y = (
        0.35**0.5 * common + sign * 0.2**0.5 * apart + 0.13**0.5 * meaning + 0.32**0.5 * noise
        for sign, noise in zip((1, -1), own, strict=True)
    )
    return x, y


def test_the_temperature_of_clip_is_not_called_low_where_pictures_and_texts_are_as_in_clip() -> (
    None
):
    found = diagnose(*two_cones(1500, 512), temperature=0.01)
    said = {verdict.name: verdict for verdict in found.verdicts}
    assert found.measure("modality_gap") > 0.5
    assert said["concentration"].value < 0.02
    assert {said[name].level for name in ("cap", "concentration", "gap")} == {"note"}
    assert said["cone"].level == "good"
    assert found.suggestion is None
    beyond = diagnose(*two_cones(1500, 512), temperature=0.005)
    assert next(v for v in beyond.verdicts if v.name == "cap").level == "warning"


def test_shuffled_partners_are_noticed_and_give_no_range() -> None:
    x, y, _ = clusters(300, 12, 300)
    right = diagnose(x, y, temperature=TAU)
    wrong = diagnose(x, y.flip(0), temperature=TAU)
    assert named(right)["partners"] == "good"
    assert right.suggestion is not None
    assert named(wrong)["partners"] == "warning"
    assert wrong.suggestion is None


@pytest.mark.parametrize(("tau", "way"), [(0.005, "raise"), (0.2, "keep"), (5.0, "lower")])
def test_the_direction_follows_the_effective_negatives(tau: float, way: str) -> None:
    found = diagnose(randn(400, 12), temperature=tau)
    assert found.suggestion is not None
    assert found.suggestion.direction == way
    level = named(found)["concentration"]
    assert level == ("good" if way == "keep" else "warning")
    assert ("cap" in named(found)) == (tau == 0.005)


def test_duplicates_are_noticed() -> None:
    x = randn(300, 12)
    x[150:] = x[:150]
    assert named(diagnose(x))["duplicates"] == "warning"
    assert "duplicates" not in named(diagnose(randn(300, 12)))
