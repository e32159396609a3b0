"""The losses as functions, without state: ``temperance.functional.info_nce`` and the rest."""

from temperance.losses.functional import info_nce, nt_xent

__all__ = ["info_nce", "nt_xent"]
