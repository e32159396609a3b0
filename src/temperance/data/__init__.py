"""What do I train on? Sources of images, the three splits, and two augmented views."""

from temperance.data.folder import image_files
from temperance.data.images import ImageSet
from temperance.data.pictures import read_image
from temperance.data.sources import SOURCES, is_scaled, load_images
from temperance.data.splits import Splits, split
from temperance.data.views import Views

__all__ = [
    "SOURCES",
    "ImageSet",
    "Splits",
    "Views",
    "image_files",
    "is_scaled",
    "load_images",
    "read_image",
    "split",
]
