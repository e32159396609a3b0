"""The linear probe by SGD on augmented images, as papers report it."""

import copy

import numpy as np
import torch
from jaxtyping import Float
from torch import nn
from torch.nn.functional import cross_entropy

from temperance.data import ImageSet, Views
from temperance.encoders import Encoder, embed
from temperance.transfer.frozen import Classifier, labels_of

BATCH, MOMENTUM = 256, 0.9
EPOCHS, FALLS = 100, (0.6, 0.8)
# SimCLR's. MoCo's 30 is for features as small as its own: it depends on their scale.
RATE = 0.1


class SGDProbe(Classifier):
    """A linear layer on frozen features, trained by SGD on one random crop of each image an epoch.

    The protocol of MoCo (He et al. 2020, arXiv 1911.05722): momentum 0.9, no weight decay, batches of 256,
    100 epochs, the learning rate a tenth from epochs 60 and 80 on. Features are standardised, so that one
    rate, SimCLR's 0.1 for a batch of 256, serves any extractor. ``Frozen`` has a linear probe that takes
    seconds instead of minutes.

    Args:
        encoder: the extractor; it is not changed.
        seed: of the layer, the order and the crops.
        epochs: passes over the images.

    Example:
        >>> from temperance.data import load_images
        >>> from temperance.encoders import EncoderSpec
        >>> whole = load_images("digits")
        >>> some = ImageSet("digits", whole.images[:99], whole.labels[:99], whole.classes)
        >>> probe = SGDProbe(Encoder(EncoderSpec(1, 8, (0.3,), (0.37,))), epochs=5).fit(some)
        >>> probe.predict(some).shape
        (99,)
    """

    def __init__(self, encoder: Encoder, *, seed: int = 0, epochs: int = EPOCHS) -> None:
        self.encoder, self.seed, self.epochs = encoder, seed, epochs

    def fit(self, data: ImageSet) -> "SGDProbe":
        """Learn from labelled images."""
        spec = self.encoder.spec
        images, labels = torch.from_numpy(data.images), torch.from_numpy(labels_of(data))
        frozen = copy.deepcopy(self.encoder).eval()
        scale = _standard(embed(frozen, images).features)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            layer = nn.Linear(spec.features, len(data.classes))
        views = Views(spec.channels, spec.size, "crop")
        random = np.random.default_rng(self.seed)
        size = min(BATCH, len(images))
        optimizer = torch.optim.SGD(layer.parameters(), lr=RATE * size / BATCH, momentum=MOMENTUM)
        falls = [round(part * self.epochs) for part in FALLS]
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, falls)
        for _ in range(self.epochs):
            for rows in torch.split(torch.from_numpy(random.permutation(len(images))), size):
                with torch.no_grad():
                    crops = views.single(images[rows], int(random.integers(2**31)))
                    features = scale(frozen(crops))
                optimizer.zero_grad()
                torch.autograd.backward(cross_entropy(layer(features), labels[rows]))
                optimizer.step()
            schedule.step()
        self.model_ = nn.Sequential(frozen, scale, layer).eval()
        return self


def _standard(features: Float[torch.Tensor, "n d"]) -> nn.Module:
    """Subtracts their mean and divides by their deviation."""
    norm = nn.BatchNorm1d(features.shape[1], affine=False)
    norm.running_mean, norm.running_var = features.mean(dim=0), features.var(dim=0, correction=0)
    return norm.eval()
