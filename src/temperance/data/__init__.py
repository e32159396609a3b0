"""What do I train on? Sources of images, the three splits, and two augmented views."""

from temperance.data.images import ImageSet
from temperance.data.sources import BUILT_IN, load_images
from temperance.data.splits import Splits, split
from temperance.data.views import Views

__all__ = ["BUILT_IN", "ImageSet", "Splits", "Views", "load_images", "split"]
