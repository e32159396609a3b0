"""What is the extractor good for? Heads on it, judged on held-out images."""

from temperance.transfer.classification import FewShot, knn, linear_probe
from temperance.transfer.detection import Detection
from temperance.transfer.evaluator import Evaluator, Score
from temperance.transfer.measure import METRICS, correctness
from temperance.transfer.probe import SGDProbe
from temperance.transfer.segmentation import Segmentation

__all__ = [
    "METRICS",
    "Detection",
    "Evaluator",
    "FewShot",
    "SGDProbe",
    "Score",
    "Segmentation",
    "correctness",
    "knn",
    "linear_probe",
]
