"""Published data sets by the names of torchvision, which knows their files and where they come from.

torchvision compares files with checksums that it brings along before it reads them: the pickles of CIFAR are
its own authors' or are refused.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from temperance.data.arrays import channels_first
from temperance.data.images import ImageSet
from temperance.data.pictures import one_line
from temperance.errors import InputError


@dataclass(frozen=True)
class Published:
    """One data set of torchvision.

    Attributes:
        kind: its class there.
        description: what it holds, in one line.
        parts: arguments of the part to learn from and, if there is one, of the part kept for testing.
        labelled: whether it has labels.
    """

    kind: str
    description: str
    parts: tuple[dict[str, Any], ...] = field(default=({"train": True}, {"train": False}))
    labelled: bool = True


_SPLITS: tuple[dict[str, Any], ...] = ({"split": "train"}, {"split": "test"})
PUBLISHED = {
    "cifar10": Published("CIFAR10", "60,000 photographs of 10 kinds, 32 × 32"),
    "cifar100": Published("CIFAR100", "60,000 photographs of 100 kinds, 32 × 32"),
    "svhn": Published("SVHN", "99,289 house numbers, 32 × 32", _SPLITS),
    "stl10": Published("STL10", "13,000 photographs of 10 kinds, 96 × 96", _SPLITS),
    "stl10-unlabeled": Published(
        "STL10", "100,000 photographs, 96 × 96", ({"split": "unlabeled"},), labelled=False
    ),
    "mnist": Published("MNIST", "70,000 handwritten digits, 28 × 28"),
    "fashion-mnist": Published("FashionMNIST", "70,000 pieces of clothing, 28 × 28"),
    "kmnist": Published("KMNIST", "70,000 Japanese characters, 28 × 28"),
    "usps": Published("USPS", "9,298 handwritten digits, 16 × 16"),
}


def read_published(name: str, root: Path) -> ImageSet:
    """Read a set of ``PUBLISHED``, which is downloaded if it is not in the folder.

    Args:
        name: a key of ``PUBLISHED``.
        root: the folder that torchvision calls so.

    Raises:
        InputError: if torchvision is missing, or the set is neither there nor can be downloaded.
    """
    try:
        from torchvision import datasets
    except ImportError as error:
        raise InputError(
            f"{name} is read by torchvision; install it with: pip install 'temperance[vision]'"
        ) from error
    about = PUBLISHED[name]
    kind = getattr(datasets, about.kind)
    parts = [_part(name, kind, root, arguments) for arguments in about.parts]
    images = np.concatenate([channels_first(name, np.asarray(part.data)) for part in parts])
    if not about.labelled:
        return ImageSet(name, images)
    labels = np.concatenate([_labels(part) for part in parts])
    classes = getattr(parts[0], "classes", range(labels.max() + 1))
    test = np.repeat([False, True], [len(part) for part in parts])
    return ImageSet(name, images, labels, tuple(map(str, classes)), test=test)


def _part(name: str, kind: Any, root: Path, arguments: dict[str, Any]) -> Any:
    try:
        return kind(str(root), **arguments)
    except (RuntimeError, OSError):  # not there, or not whole
        pass
    try:
        root.mkdir(parents=True, exist_ok=True)
        return kind(str(root), **arguments, download=True)
    except Exception as error:  # of the network, of the archive, of the disk
        raise InputError(
            f"{name} is not in {root}, and cannot be downloaded ({one_line(error)}); put its files there, or "
            "name their folder with --root"
        ) from error


def _labels(part: Any) -> np.ndarray:
    labels = part.targets if hasattr(part, "targets") else part.labels
    return np.asarray(labels).astype(np.int64)
