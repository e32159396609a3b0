"""Methods by name."""

from temperance.methods.config import Method as Name
from temperance.methods.instdisc import InstDisc
from temperance.methods.method import Method
from temperance.methods.moco import MoCo
from temperance.methods.paired import Paired
from temperance.methods.simclr import SimCLR
from temperance.methods.supcon import SupervisedContrastive

METHODS: dict[Name, type[Method]] = {
    "simclr": SimCLR,
    "moco-v1": MoCo,
    "moco-v2": MoCo,
    "instdisc": InstDisc,
    "instdisc-softmax": InstDisc,
    "supcon": SupervisedContrastive,
    "paired": Paired,
}
