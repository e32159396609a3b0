"""Where do negatives come from? A queue of keys, a memory bank, and the slow encoder that makes keys."""

from temperance.negatives.bank import MemoryBank
from temperance.negatives.momentum import momentum_update
from temperance.negatives.queue import Queue

__all__ = ["MemoryBank", "Queue", "momentum_update"]
