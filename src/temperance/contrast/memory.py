"""Where threads put what they have at hand."""

from jaxtyping import Float
from torch import Tensor


class Memory:
    """Memory of the size of a tile, used again: new memory would cost more than the work in it."""

    def __init__(self, like: Tensor) -> None:
        self._numbers = like.new_empty(0)
        self._views: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def __call__(self, height: int, width: int) -> Float[Tensor, "height width"]:
        """What was written there before, or anything."""
        return self.turned(height, width)[0]

    def turned(
        self, height: int, width: int
    ) -> tuple[Float[Tensor, "height width"], Float[Tensor, "width height"]]:
        """The same, and a view of it with the sides changed."""
        size = height, width
        if size not in self._views:
            if self._numbers.numel() < height * width:
                self._numbers = self._numbers.new_empty(height * width)
                self._views.clear()
            view = self._numbers[: height * width].view(size)
            self._views[size] = view, view.T
        return self._views[size]
