"""The losses as functions, without state: ``temperance.functional.info_nce`` and the rest."""

from temperance.losses.functional import (
    clip,
    decoupled,
    hard_contrastive,
    info_nce,
    instance_softmax,
    nt_xent,
    sigmoid,
    simple_contrastive,
    sup_con,
)
from temperance.losses.several import Temperatures, at_temperatures

__all__ = [
    "Temperatures",
    "at_temperatures",
    "clip",
    "decoupled",
    "hard_contrastive",
    "info_nce",
    "instance_softmax",
    "nt_xent",
    "sigmoid",
    "simple_contrastive",
    "sup_con",
]
