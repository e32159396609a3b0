"""A cloud of embeddings for the explorer: a sample, its similarities, its places in three dimensions."""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from temperance.diagnosis.inputs import checked
from temperance.geometry import relative_penalty
from temperance.geometry.hardness import effective_negatives

# So many that a cloud is seen and a page stays small and quick: all their similarities are in it.
SAMPLE = 400
# From 0.01 to 10, as on the explorer's dial.
TEMPERATURES = [10 ** (-2 + i / 40) for i in range(121)]


@dataclass(frozen=True, eq=False)
class Cloud:
    """What the explorer shows of embeddings.

    Attributes:
        name: of the file they came from.
        total: rows there were.
        width: numbers in a row.
        rows: ``(n,)`` numbers of the rows sampled, rising.
        places: ``(n, 3)`` along the three main directions, in the unit ball.
        kept: share of the variance along those.
        similarities: ``(n, n)`` cosines.
        classes: ``(n,)`` class numbers, or None.
        names: of the classes.
    """

    name: str
    total: int
    width: int
    rows: Int64[np.ndarray, " n"]
    places: Float[Tensor, "n 3"]
    kept: float
    similarities: Float[Tensor, "n n"]
    classes: Int64[np.ndarray, " n"] | None
    names: Sequence[str]

    def data(self) -> dict[str, Any]:
        """What the page reads."""
        below = torch.tril_indices(len(self.rows), len(self.rows), offset=-1)
        cosines = (self.similarities[below[0], below[1]].clamp(-1, 1) * 32767).round()
        packed = cosines.to(torch.int16).numpy().astype("<i2").tobytes()
        effective, mass = self._curves()
        return {
            "sample": {
                "name": self.name,
                "shown": f"{len(self.rows):,}",
                "total": f"{self.total:,}",
                "width": f"{self.width:,}",
                "kept": f"{100 * self.kept:.0f}",
            },
            "rows": self.rows.tolist(),
            "places": [[round(x, 4) for x in place] for place in self.places.tolist()],
            "similarities": base64.b64encode(packed).decode(),
            "classes": None if self.classes is None else self.classes.tolist(),
            "names": list(self.names),
            "start": self._start(),
            "effective": effective,
            "false_mass": mass,
        }

    def _start(self) -> int:
        """Begin at the row in whose neighbourhood there is most to see: with the nearest neighbour of all."""
        return int(self._negatives().amax(dim=1).argmax())

    def _negatives(self) -> Float[Tensor, "n m"]:
        n = len(self.rows)
        return self.similarities[~torch.eye(n, dtype=torch.bool)].view(n, n - 1)

    def _curves(self) -> tuple[list[float], list[float] | None]:
        """At each temperature: effective negatives of the median row, and the mean push on the own class."""
        negatives = self._negatives()
        n = len(negatives)
        same = None
        if self.classes is not None:
            of = torch.from_numpy(self.classes)
            same = (of[:, None] == of)[~torch.eye(n, dtype=torch.bool)].view(n, n - 1)
        effective, mass = [], []
        for tau in TEMPERATURES:
            share = effective_negatives(negatives, tau).median() / (n - 1)
            effective.append(round(float(share), 5))
            if same is not None:
                push = relative_penalty(negatives, tau)
                mass.append(round(float((push * same).sum(dim=1).mean()), 5))
        return effective, mass if same is not None else None


def cloud_of(vectors: Any, labels: Any = None, name: str = "embeddings") -> Cloud:
    """Sample embeddings and lay them out.

    Args:
        vectors: ``(n, d)`` array or tensor, in memory or mapped from a file.
        labels: n classes of any kind, or None.
        name: what messages and the page call them.

    Raises:
        InputError: on whatever cannot be compared: too few rows, rows without a direction, labels that do
            not fit.

    Example:
        >>> import numpy as np
        >>> cloud = cloud_of(np.eye(12, dtype=np.float32))
        >>> cloud.places.shape, round(float(cloud.similarities[0, 1]), 3)
        (torch.Size([12, 3]), 0.0)
    """
    given = checked(vectors, None, labels, None, (name, "", ""))
    rows = np.sort(np.random.default_rng(0).permutation(len(given.x))[:SAMPLE])
    unit = given.x.take(torch.from_numpy(rows)).double()
    centred = unit - unit.mean(dim=0)
    left, size, _ = torch.linalg.svd(centred, full_matrices=False)
    plane = left[:, :3] * size[:3]
    places = torch.nn.functional.pad(plane, (0, 3 - plane.shape[1]))
    classes = None if given.classes is None else given.classes.numpy()[rows]
    return Cloud(
        name,
        len(given.x),
        given.x.width,
        rows,
        places / (places.norm(dim=1).max() or math.inf),
        float((size[:3] ** 2).sum() / (size**2).sum()),
        unit @ unit.T,
        classes,
        given.names,
    )
