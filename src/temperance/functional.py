"""The losses as functions, without state: ``temperance.functional.info_nce`` and the rest."""

from temperance.losses.functional import (
    clip,
    decoupled,
    hard_contrastive,
    info_nce,
    nt_xent,
    sigmoid,
    simple_contrastive,
    sup_con,
)

__all__ = [
    "clip",
    "decoupled",
    "hard_contrastive",
    "info_nce",
    "nt_xent",
    "sigmoid",
    "simple_contrastive",
    "sup_con",
]
