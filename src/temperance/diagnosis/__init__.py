"""What is wrong, and what would help? Embeddings in, verdicts out; eyes on a training that runs.

``diagnose`` samples anchors, lets all candidates pass by them once, and reads off what the loss does at every
τ of a dense grid (``profile``), what the space looks like (``space``), which negatives may be false
(``suspects``), and what to make of it (``verdicts``). ``TemperatureMonitor`` watches a loss while it trains.
"""

from temperance.diagnosis.diagnosing import diagnose, diagnosis_of
from temperance.diagnosis.inputs import Given, checked
from temperance.diagnosis.monitor import Reading, TemperatureMonitor, TemperatureWarning
from temperance.diagnosis.results import Diagnosis, write_diagnosis

__all__ = [
    "Diagnosis",
    "Given",
    "Reading",
    "TemperatureMonitor",
    "TemperatureWarning",
    "checked",
    "diagnose",
    "diagnosis_of",
    "write_diagnosis",
]
