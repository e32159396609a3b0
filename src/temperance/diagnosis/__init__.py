"""What is wrong, and what would help? A space and its temperature in numbers and in words."""

from temperance.diagnosis.monitor import Reading, TemperatureMonitor, TemperatureWarning

__all__ = ["Reading", "TemperatureMonitor", "TemperatureWarning"]
