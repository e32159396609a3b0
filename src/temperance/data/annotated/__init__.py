"""Pictures with boxes and masks: the scenes that ship, COCO, VOC and plain folders of masks, as one type."""

from temperance.data.annotated.coco import read_coco
from temperance.data.annotated.masks import read_masks
from temperance.data.annotated.objects import cut_out
from temperance.data.annotated.pictures import (
    VOID,
    AnnotatedPicture,
    AnnotatedSet,
    AnnotatedSplits,
    Sample,
)
from temperance.data.annotated.sources import ANNOTATED, is_annotated, load_annotated
from temperance.data.annotated.voc import read_voc

__all__ = [
    "ANNOTATED",
    "VOID",
    "AnnotatedPicture",
    "AnnotatedSet",
    "AnnotatedSplits",
    "Sample",
    "cut_out",
    "is_annotated",
    "load_annotated",
    "read_coco",
    "read_masks",
    "read_voc",
]
