"""The objects of annotated pictures, cut out: images to classify."""

import numpy as np
from PIL import Image

from temperance.data.annotated.pictures import AnnotatedSet
from temperance.data.images import ImageSet
from temperance.errors import InputError

# What is seen around a box, as a part of its longer side: about the margin that the built-in letters have.
MARGIN = 0.15


def cut_out(data: AnnotatedSet, size: int, channels: int) -> ImageSet:
    """Each object with a margin as a square image, labelled with its class; what is ignored is left out.

    Args:
        data: with boxes.
        size: side of the images, in pixels.
        channels: 1 (grey) or 3 (RGB).

    Raises:
        InputError: if there are no objects.
    """
    images, labels = [], []
    for index in range(len(data)):
        picture = data.pictures[index]
        side = max(picture.height, picture.width)
        sample = data.sample(index, channels, side)
        whole = Image.fromarray(
            sample.image[0] if channels == 1 else sample.image.transpose(1, 2, 0)
        )
        for box, label in zip(
            sample.boxes[~sample.ignored].tolist(),
            sample.labels[~sample.ignored].tolist(),
            strict=True,
        ):
            left, top, right, bottom = box
            half = (0.5 + MARGIN) * max(right - left, bottom - top)
            across, down = (left + right) / 2, (top + bottom) / 2
            place = [round(x) for x in (across - half, down - half, across + half, down + half)]
            cut = whole.crop((place[0], place[1], place[2], place[3]))
            pixels = np.asarray(cut.resize((size, size), Image.Resampling.BILINEAR))
            images.append(pixels[None] if channels == 1 else pixels.transpose(2, 0, 1))
            labels.append(label)
    if not images:
        raise InputError(f"{data.name} has no boxes to cut objects out of; give COCO or VOC")
    return ImageSet(
        name=f"objects of {data.name}",
        images=np.stack(images),
        labels=np.array(labels, np.int64),
        classes=data.classes,
    )
