"""The monitor measures what the equations say, and warns once for each cause."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from temperance import CLIPLoss, InfoNCE, InputError, NTXent, SupCon
from temperance.diagnosis import TemperatureMonitor, TemperatureWarning
from temperance.diagnosis.monitor import read_batch
from temperance.temperatures import EffectiveNegatives, Learnable

N, D = 40, 8


def vectors(seed: int, n: int = N) -> torch.Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed))


A, B, LABELS = vectors(0), vectors(0) + vectors(1), torch.arange(N) % 4


def test_a_reading_is_what_the_equations_say() -> None:
    a, b = (normalize(x.double(), dim=1) for x in (A, B))
    s = a @ b.T
    eye = torch.eye(N, dtype=torch.bool)
    shares = (s / 0.2).masked_fill(eye, -math.inf).softmax(1)
    seen = read_batch(A, B, 0.2, labels=LABELS)
    effective = torch.exp(-torch.special.xlogy(shares, shares).sum(1)).mean()
    same = (LABELS[:, None] == LABELS) & ~eye
    for found, true in {
        seen.effective_negatives: effective,
        seen.effective_share: effective / (N - 1),
        seen.positive_similarity: s.diagonal().mean(),
        seen.hardest_negative: s.masked_fill(eye, -math.inf).amax(1).mean(),
        seen.alignment: (a - b).square().sum(1).mean(),
        seen.mean_similarity: s[~eye].mean(),
        seen.false_negative_mass: (shares * same).sum(1).mean(),
    }.items():
        assert found == pytest.approx(float(true), rel=1e-4)
    queue = vectors(3, 100)
    seen = read_batch(A, B, 0.2, queue)
    shares = (a @ normalize(queue.double(), dim=1).T / 0.2).softmax(1)
    effective = torch.exp(-torch.special.xlogy(shares, shares).sum(1)).mean()
    assert seen.effective_share == pytest.approx(float(effective) / 100, rel=1e-4)


@pytest.mark.parametrize("loss", [InfoNCE(0.2), NTXent(0.2), CLIPLoss(Learnable(0.2))])
def test_it_reads_at_its_interval_and_in_training_alone(loss: nn.Module) -> None:
    seen = []
    TemperatureMonitor(lambda figures, step: seen.append((step, figures)), every=3).watch(loss)
    for _ in range(7):
        loss(A, B)
    loss.eval()
    loss(A, B)
    assert [step for step, _ in seen] == [0, 3, 6]
    assert seen[0][1]["temperature/tau"] == pytest.approx(0.2)
    assert "temperature/false_negative_mass" not in seen[0][1]


def test_it_reads_queues_and_classes() -> None:
    seen = []
    loss = InfoNCE(EffectiveNegatives(0.2))
    TemperatureMonitor(lambda figures, step: seen.append(figures), every=1).watch(loss)
    loss(A, B, vectors(3, 100))
    assert seen[0]["temperature/effective_share"] == pytest.approx(0.2, rel=0.02)
    loss = NTXent(0.2, statistics=True)
    TemperatureMonitor(lambda figures, step: seen.append(figures), every=1).watch(loss)
    loss(A, B, classes=LABELS)
    assert 0 < seen[1]["temperature/false_negative_mass"] < 1


def warned(call) -> list[str]:
    said = []
    call(TemperatureMonitor(every=1, warn=said.append))
    return said


def test_each_cause_has_its_words_once() -> None:
    line = torch.ones(N, D) + 0.01 * A

    def collapse(monitor) -> None:
        for step in range(3):
            monitor.observe(step, line, line, 0.2)

    (said, _) = warned(collapse)  # its negatives all count alike, too
    assert "step 0: all embeddings point one way" in said

    (said,) = warned(lambda m: m.observe(7, A, B, 0.001))
    assert "falls on 1." in said
    assert "Raise the temperature" in said

    (said,) = warned(lambda m: m.observe(7, A, B, 100.0))
    assert "Lower the temperature" in said

    def cap(monitor) -> None:
        loss = CLIPLoss(Learnable(0.2, lowest=0.2))
        monitor.watch(loss)
        loss(A, B)
        loss(A, B)

    (said,) = warned(cap)
    assert "stands at its bound, τ = 0.2 (scale 5)" in said

    def diverging(monitor) -> None:
        rule = Learnable(0.05)
        for tau in (0.05, 0.6):
            monitor.observe(0, A, B, tau, rule=rule)

    (said,) = warned(diverging)
    assert "from 0.05 to 0.6" in said

    (said,) = warned(lambda m: m.observe(3, A * math.nan, B, 0.1))
    assert "nan or infinity" in said
    assert warned(lambda m: m.observe(0, A, B, 0.2)) == []


def test_a_warning_is_a_warning() -> None:
    with pytest.warns(TemperatureWarning, match="Raise the temperature"):
        TemperatureMonitor().observe(0, A, B, 0.001)


def test_what_has_no_pairs_is_refused() -> None:
    with pytest.raises(InputError, match="SupCon has no pairs"):
        TemperatureMonitor().watch(SupCon())
    with pytest.raises(InputError, match="every 0"):
        TemperatureMonitor(every=0)
