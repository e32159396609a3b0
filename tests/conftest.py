"""Shapes and types of annotated functions are checked while the tests run.

Not those of the losses, whose own checks of what people give are tested.
"""

import os

import torch
from jaxtyping import install_import_hook

# Triton is told when it is first imported, which torch and lightning may do at any time.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

_CHECKED = [
    "contrast",
    "geometry",
    "encoders",
    "data",
    "diagnosis",
    "transfer",
    "speed",
    "search.recommend",
]
install_import_hook([f"temperance.{room}" for room in _CHECKED], "beartype.beartype")
