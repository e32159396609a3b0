"""Intervals hold what they promise: 95 % of them have the figure of all anchors inside."""

import pytest
import torch

from temperance import diagnose

pytestmark = pytest.mark.slow


def test_intervals_cover_the_figure_of_all_anchors() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(1500) % 7
    x = torch.randn(7, 12, generator=generator)[labels] + torch.randn(1500, 12, generator=generator)
    y = x + 0.5 * torch.randn(1500, 12, generator=generator)
    truth = diagnose(x, y, labels, 0.1).reading
    assert truth is not None
    hits = dict.fromkeys(truth.figures, 0)
    for seed in range(200):
        drawn = diagnose(x, y, labels, 0.1, anchors=200, seed=seed).reading
        assert drawn is not None
        for name, figure in drawn.figures.items():
            assert figure.low is not None
            assert figure.high is not None
            hits[name] += figure.low <= truth.figures[name].value <= figure.high
    # 190 expected, with a standard deviation of 3.1: three of those either way.
    for name, count in hits.items():
        assert count >= 181, (name, count)
