"""Classification: nearest neighbours and the probe as scikit-learn has them, labels' share, equal starts."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from temperance import InputError
from temperance.data import ImageSet, Views, load_images
from temperance.encoders import Encoder, EncoderSpec, embed
from temperance.transfer import frozen
from temperance.transfer.frozen import Frozen, NearestNeighbours
from temperance.transfer.labels import FineTuning, supervised
from temperance.transfer.probe import SGDProbe


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder(EncoderSpec(1, 8, (0.3,), (0.37,))).eval()


@pytest.fixture(scope="module")
def digits() -> tuple[ImageSet, ImageSet]:
    whole = load_images("digits")
    order = np.random.default_rng(0).permutation(len(whole))

    def part(rows: np.ndarray) -> ImageSet:
        return ImageSet("digits", whole.images[rows], whole.labels[rows], whole.classes)

    return part(order[:600]), part(order[600:1000])


def features(encoder: Encoder, data: ImageSet) -> np.ndarray:
    return embed(encoder, torch.from_numpy(data.images)).features.numpy()


def test_nearest_neighbours_are_scikit_learns(encoder, digits, monkeypatch) -> None:
    train, test = digits
    x, z = features(encoder, train), features(encoder, test)
    peer = KNeighborsClassifier(
        200, weights=lambda d: np.exp(-d / 0.07), metric="cosine", algorithm="brute"
    )
    wanted = peer.fit(x, train.labels).predict(z)
    np.testing.assert_array_equal(NearestNeighbours().fit(x, train.labels).predict(z), wanted)
    monkeypatch.setattr(frozen, "CHUNK", 7)
    found = Frozen(encoder, "knn").fit(train)
    np.testing.assert_array_equal(found.predict(test), wanted)
    assert found.score(test).headline == pytest.approx((wanted == test.labels).mean())


def test_the_linear_probe_is_scikit_learns(encoder, digits) -> None:
    train, test = digits
    scaler = StandardScaler().fit(features(encoder, train))
    peer = LogisticRegression(C=0.01, max_iter=1000, tol=1e-3)
    peer.fit(scaler.transform(features(encoder, train)), train.labels)
    wanted = peer.predict(scaler.transform(features(encoder, test)))
    score = Frozen(encoder, "linear").fit(train).score(test)
    assert score.headline == pytest.approx((wanted == test.labels).mean())
    first = test.labels == 0
    assert score.per_class["0"] == pytest.approx((wanted[first] == 0).mean())


def test_fine_tuning_takes_its_share_and_leaves_the_extractor_alone(encoder, digits) -> None:
    train, test = digits
    before = {name: x.clone() for name, x in encoder.state_dict().items()}
    few = FineTuning(encoder, share=0.01, steps=30).fit(train).score(test).headline
    many = FineTuning(encoder, share=0.1, steps=30).fit(train).score(test).headline
    assert 0.15 < few < many
    for name, x in encoder.state_dict().items():
        torch.testing.assert_close(x, before[name], rtol=0, atol=0)


def test_the_probe_by_sgd_comes_where_the_exact_one_does(encoder, digits) -> None:
    train, test = digits
    before = {name: x.clone() for name, x in encoder.state_dict().items()}
    probe = SGDProbe(encoder, epochs=30).fit(train)
    exact = Frozen(encoder, "linear").fit(train).score(test).headline
    # Crops cost random weights some points that training would win back.
    assert probe.score(test).headline == pytest.approx(exact, abs=0.08)
    again = SGDProbe(encoder, epochs=30).fit(train)
    np.testing.assert_array_equal(again.predict(test), probe.predict(test))
    for name, x in encoder.state_dict().items():
        torch.testing.assert_close(x, before[name], rtol=0, atol=0)


def test_the_probe_by_sgd_steps_as_its_paper_says(encoder, digits, monkeypatch) -> None:
    train, _ = digits
    rates, seen = [], []
    step = torch.optim.SGD.step

    def noted(self, *given) -> None:
        (group,) = self.param_groups
        rates.append(group["lr"])
        seen.append((group["momentum"], group["weight_decay"]))
        step(self, *given)

    monkeypatch.setattr(torch.optim.SGD, "step", noted)
    SGDProbe(encoder, epochs=10).fit(train)  # 600 images: three batches an epoch
    assert rates == pytest.approx([0.1] * 18 + [0.01] * 6 + [0.001] * 6)
    assert set(seen) == {(0.9, 0)}


def test_the_probe_by_sgd_sees_each_image_once_an_epoch(encoder, digits, monkeypatch) -> None:
    train, _ = digits
    odd = ImageSet("odd", train.images[:257], train.labels[:257], train.classes)
    seen: list[int] = []
    single = Views.single

    def counted(self, images, number):
        seen.append(len(images))
        return single(self, images, number)

    monkeypatch.setattr(Views, "single", counted)
    SGDProbe(encoder, epochs=3).fit(odd)
    assert seen == [256, 1] * 3


def test_a_feature_that_never_changes_leaves_the_probe_finite(digits) -> None:
    train, _ = digits
    torch.manual_seed(0)
    dead = Encoder(EncoderSpec(1, 8, (0.3,), (0.37,))).eval()
    blank = ImageSet("blank", np.zeros_like(train.images), train.labels, train.classes)
    weights = SGDProbe(dead, epochs=2).fit(blank).model_.state_dict()
    assert all(x.isfinite().all() for x in weights.values())


def test_supervised_pretraining_learns(encoder, digits) -> None:
    train, test = digits
    learned = supervised(encoder, train, steps=40, seed=0, recipe="default")
    assert learned.spec == encoder.spec
    assert not learned.training
    better = Frozen(learned, "few-shot").fit(train).score(test).headline
    assert better > Frozen(encoder, "few-shot").fit(train).score(test).headline


def test_images_without_labels_are_refused(encoder) -> None:
    data = ImageSet("mine", np.zeros((9, 1, 8, 8), np.uint8))
    with pytest.raises(InputError, match="mine has no labels"):
        Frozen(encoder, "knn").fit(data)
