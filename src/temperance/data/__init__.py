"""What do I train on? Sources of images, the three splits, and two augmented views."""

from temperance.data.images import ImageSet
from temperance.data.sources import SOURCES, load_images
from temperance.data.splits import Splits, split
from temperance.data.views import Views

__all__ = ["SOURCES", "ImageSet", "Splits", "Views", "load_images", "split"]
