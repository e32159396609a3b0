"""Shapes and types of annotated functions are checked while the tests run.

Not those of the losses, whose own checks of what people give are tested.
"""

from jaxtyping import install_import_hook

_CHECKED = ["contrast", "geometry", "encoders", "data", "transfer", "speed", "search.recommend"]
install_import_hook([f"temperance.{room}" for room in _CHECKED], "beartype.beartype")
