"""What is τ at this step? Rules for the temperature, usable in every loss wherever a number is."""

from temperance.temperatures.alignment import AlignmentAware
from temperance.temperatures.effective import EffectiveNegatives
from temperance.temperatures.given import Cosine, Fixed, Learnable, Linear, Schedule, Steps, WarmUp
from temperance.temperatures.per_anchor import PerAnchor
from temperance.temperatures.policy import Batch, Policy
from temperance.temperatures.similarity import Pairwise, TemperatureFree
from temperance.temperatures.words import KINDS, policy

__all__ = [
    "KINDS",
    "AlignmentAware",
    "Batch",
    "Cosine",
    "EffectiveNegatives",
    "Fixed",
    "Learnable",
    "Linear",
    "Pairwise",
    "PerAnchor",
    "Policy",
    "Schedule",
    "Steps",
    "TemperatureFree",
    "WarmUp",
    "policy",
]
