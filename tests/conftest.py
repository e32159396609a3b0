"""Shapes and types of annotated functions are checked while the tests run.

Not those of the losses, whose own checks of what people give are tested.
"""

import os

# Each of several workers keeps to its share of the cores; threads that wait for each other turn by turn take
# small trainings nearly twice as long.
if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1)) > 1:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

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
