"""What is the extractor good for? Heads on frozen embeddings, judged on held-out images."""

from temperance.transfer.classification import FewShot, knn, linear_probe
from temperance.transfer.measure import METRICS, correctness

__all__ = ["METRICS", "FewShot", "correctness", "knn", "linear_probe"]
