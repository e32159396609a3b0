"""Every method learns, goes on where it was stopped, and computes what its paper says."""

import copy
import math
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, normalize

from temperance import InputError
from temperance.data import load_images
from temperance.methods import METHODS, TrainingConfig, train, untrained
from temperance.methods.batches import Batches, Images
from temperance.methods.config import Method as Name
from temperance.methods.method import Method, projected

DIGITS = load_images("digits")
IMAGES, LABELS = DIGITS.images[:96], DIGITS.labels[:96]
NAMES = get_args(Name)


class Stop(Exception):
    pass


def config(method: str, **options: object) -> TrainingConfig:
    return TrainingConfig(
        **{"method": method, "epochs": 3, "batch_size": 24, "noise": 32, "queue": 48, **options}
    )


def weights(encoder: nn.Module) -> Tensor:
    return torch.cat([w.flatten().double() for w in encoder.state_dict().values()])


@pytest.mark.parametrize("name", NAMES)
def test_a_run_stopped_within_an_epoch_ends_as_if_it_had_not_been(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("temperance.methods.watching.LOOK_EVERY", 0)

    def stop(look: object) -> None:
        if look.step == 7:
            raise Stop

    kept = {"labels": LABELS, "checkpoints": tmp_path, "save_every": 0}
    with pytest.raises(Stop):
        train(IMAGES, config(name), on_look=stop, **kept)
    seen: list[int] = []
    resumed = train(IMAGES, config(name), on_look=lambda look: seen.append(look.step), **kept)
    whole = train(IMAGES, config(name), labels=LABELS)
    assert seen == [7, 8, 9, 10, 11, 12]
    assert resumed.losses == whole.losses
    assert torch.equal(weights(resumed.encoder), weights(whole.encoder))


@pytest.mark.parametrize("name", NAMES)
def test_each_method_takes_its_papers_settings(name: str) -> None:
    asked = config(name)
    training = train(IMAGES, asked, labels=LABELS)
    assert np.isfinite(training.losses).all()
    assert training.encoder.spec.head == ("mlp" if name not in LINEAR else "linear")
    assert asked.temperature == TEMPERATURES[name]


LINEAR = ("moco-v1", "instdisc", "instdisc-softmax")
TEMPERATURES = {
    "simclr": 0.1,
    "moco-v1": 0.07,
    "moco-v2": 0.2,
    "instdisc": 0.07,
    "instdisc-softmax": 0.07,
    "supcon": 0.1,
    "paired": "learnable:0.07",
}


def stepped(name: str, steps: int, **options: object) -> tuple[Method, Batches, Images]:
    asked = config(name, norm="group", precision="64-true", **options)
    encoder = untrained(IMAGES, asked.seed, asked).double().train()
    module = METHODS[name](encoder, asked, steps, len(IMAGES)).double()
    for held in ("bank.vectors", "queue._keys"):  # of unit length in this type, too
        if held in module.state_dict():
            module.get_buffer(held).copy_(normalize(module.get_buffer(held), dim=1))
    batches = Batches(len(IMAGES), asked.batch_size, asked.seed)
    return module, batches, Images(IMAGES, None, None)


def slow_moco(
    module: Method, rows: object, step: int, queue: list[Tensor], key: nn.Module
) -> Tensor:
    """Algorithm 1 of the paper, query by query."""
    for slow, fast in zip(key.parameters(), module.encoder.parameters(), strict=True):
        slow.data = module.momentum * slow.data + (1 - module.momentum) * fast.data
    a, b = module.pair(rows.images, rows, step)
    q = normalize(projected(module.encoder, a), dim=1)
    with torch.no_grad():
        k = normalize(projected(key, b), dim=1)
    losses = []
    for i in range(len(q)):
        logits = torch.stack([q[i] @ k[i], *(q[i] @ old for old in queue)]) / 0.2
        losses.append(-log_softmax(logits, dim=0)[0])
    queue[:] = [*queue, *k][len(k) :]
    return torch.stack(losses).mean()


def test_moco_agrees_step_by_step_with_a_slow_loop_from_the_paper() -> None:
    module, batches, data = stepped("moco-v2", steps=12)
    other = copy.deepcopy(module)
    key = copy.deepcopy(other.encoder)
    queue = list(other.queue.keys.clone())
    fast = torch.optim.SGD(module.encoder.parameters(), lr=0.01)
    slow = torch.optim.SGD(other.encoder.parameters(), lr=0.01)
    for step, numbers in enumerate([*batches, *batches, *batches]):
        rows = data[numbers]
        loss = module.compare(rows, step)
        fast.zero_grad()
        loss.backward()
        module.on_after_backward()
        fast.step()
        told = slow_moco(other, rows, step, queue, key)
        slow.zero_grad()
        told.backward()
        slow.step()
        assert loss.item() == pytest.approx(told.item(), rel=1e-12)
    held = module.queue.keys
    assert torch.allclose(held[held[:, 0].argsort()], sorted_rows(queue), atol=1e-12, rtol=0)


def sorted_rows(rows: list[Tensor]) -> Tensor:
    return torch.stack(sorted(rows, key=lambda row: float(row[0])))


@pytest.mark.parametrize("name", ["instdisc", "instdisc-softmax"])
def test_instdisc_agrees_step_by_step_with_a_slow_loop_from_the_paper(name: str) -> None:
    module, batches, data = stepped(name, steps=12)
    other = copy.deepcopy(module)
    bank = [v.clone() for v in other.bank.vectors]
    n, m, tau = len(bank), module.config.noise, 0.07
    fast = torch.optim.SGD(module.encoder.parameters(), lr=0.01)
    slow = torch.optim.SGD(other.encoder.parameters(), lr=0.01)
    for step, numbers in enumerate([*batches, *batches, *batches]):
        rows = data[numbers]
        loss = module.compare(rows, step)
        fast.zero_grad()
        loss.backward()
        module.on_after_backward()
        fast.step()

        v = normalize(projected(other.encoder, other.single(rows, step)), dim=1)
        ids = rows.ids.tolist()
        losses = []
        if name == "instdisc-softmax":
            for i, own in enumerate(ids):
                scores = torch.stack([v[i] @ w for w in bank]) / tau
                losses.append(-log_softmax(scores, dim=0)[own])
        else:
            noise = other.bank.sample(rows.ids, m, generator=other.generator(step)).tolist()
            powers = [[torch.exp(v[i] @ bank[j] / tau) for j in noise[i]] for i in range(len(ids))]
            z = n * torch.stack([x for row in powers for x in row]).mean().item()
            for i, own in enumerate(ids):
                p = torch.exp(v[i] @ bank[own] / tau) / z
                loss_i = -torch.log(p / (p + m / n))
                for power in powers[i]:
                    p = power / z
                    loss_i = loss_i - torch.log(1 - p / (p + m / n))
                losses.append(loss_i)
        told = torch.stack(losses).mean()
        slow.zero_grad()
        told.backward()
        slow.step()
        for i, own in enumerate(ids):
            bank[own] = normalize(0.5 * bank[own] + 0.5 * v[i].detach(), dim=0)
        assert loss.item() == pytest.approx(told.item(), rel=1e-10)
    assert torch.allclose(module.bank.vectors, torch.stack(bank), atol=1e-10, rtol=0)


def ranked(
    anchors: Tensor, positives: Tensor, others: Tensor, tau: float | None, share: float
) -> Tensor:
    """Anchor by anchor: its positive against the hardest share of the others, which do not hold it."""
    losses = []
    for i, (a, p) in enumerate(zip(anchors, positives, strict=True)):
        scores = others[i] @ a
        hard = scores.topk(math.ceil(len(scores) * share)).values
        if tau is None:
            losses.append(hard.mean() - a @ p)
        else:
            losses.append(-log_softmax(torch.cat([(a @ p)[None], hard]) / tau, dim=0)[0])
    return torch.stack(losses).mean()


@pytest.mark.parametrize(
    ("temperature", "share"), [(0.3, 0.25), ("simple", None), ("simple", 0.25)]
)
@pytest.mark.parametrize("name", ["simclr", "moco-v2"])
def test_the_hardest_and_the_simple_loss_are_those_of_the_paper(
    name: str, temperature: float | str, share: float | None
) -> None:
    module, batches, data = stepped(name, 4, temperature=temperature, hardest=share)
    loss = module.compare(data[next(iter(batches))], 0)
    loss.backward()
    anchors, positives, queue, _ = module.observed
    a, p = normalize(anchors, dim=1), normalize(positives, dim=1)
    tau, share = None if temperature == "simple" else temperature, share or 1.0
    if queue is not None:
        told = ranked(a, p, queue.expand(len(a), -1, -1), tau, share)
    else:
        apart = torch.tensor([[j for j in range(len(a)) if j != i] for i in range(len(a))])
        told = (ranked(a, p, p[apart], tau, share) + ranked(p, a, a[apart], tau, share)) / 2
    assert loss.item() == pytest.approx(told.item(), rel=1e-12)
    assert all(w.grad.isfinite().all() for w in module.encoder.parameters())
    assert module.loss.backend == "auto"  # which processes that share a batch change


@pytest.mark.parametrize("options", [{"temperature": "simple"}, {"hardest": 0.1}])
def test_losses_that_do_not_weigh_by_the_temperature_are_not_read(options) -> None:
    said: list[str] = []
    training = train(IMAGES, config("simclr", **options), on_warning=said.append)
    assert said == []
    assert not training.readings


def test_the_simple_loss_is_what_a_rising_temperature_comes_to() -> None:
    """The push on its negatives, τ times the gradient of InfoNCE, is shared more and more evenly."""
    grads = []
    for temperature in (1e4, "simple"):
        module, batches, data = stepped("moco-v2", 4, temperature=temperature)
        module.compare(data[next(iter(batches))], 0).backward()
        grads.append(torch.cat([p.grad.flatten() for p in module.encoder.parameters()]))
    queue = len(module.queue)
    # The positive is one of the queue's + 1 candidates, among which the push is shared at a high τ.
    risen = 1e4 * grads[0] * (queue + 1) / queue
    assert (risen - grads[1]).norm() < 1e-3 * grads[1].norm()


def test_chunks_give_the_gradients_of_the_whole_batch() -> None:
    grads = []
    for chunk in (None, 7):
        module, batches, data = stepped("simclr", steps=4, chunk=chunk)
        module.compare(data[next(iter(batches))], 0).backward()
        grads.append(torch.cat([p.grad.flatten() for p in module.encoder.parameters()]))
    assert torch.allclose(grads[0], grads[1], rtol=1e-9, atol=1e-15)


def test_partners_are_the_other_side_of_the_pairs() -> None:
    asked = config("paired", temperature=0.2)
    generator = np.random.default_rng(0)
    partners = generator.permuted(IMAGES.reshape(96, -1), axis=1).reshape(IMAGES.shape)
    with_partners = train(IMAGES, asked, partners=partners)
    alone = train(IMAGES, asked)
    assert with_partners.losses[-1] != alone.losses[-1]
    assert with_partners.losses[-1] < with_partners.losses[0]


def test_a_queue_holds_at_most_one_epoch_and_its_encoder_keeps_up_with_a_short_run() -> None:
    encoder = untrained(IMAGES, 0)
    module = METHODS["moco-v2"](encoder, config("moco-v2", queue=65_536), 100, len(IMAGES))
    assert len(module.queue) == len(IMAGES)
    assert module.momentum == pytest.approx(0.95)
    long = METHODS["moco-v2"](encoder, config("moco-v2"), 100_000, len(IMAGES))
    assert long.momentum == 0.999


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "supcon"}, "supcon needs labels"),
        ({"temperature": "effective:0.3", "method": "instdisc"}, "batch 1 of epoch 1"),
        ({"backbone": "timm:resnet81"}, "the nearest are"),
        ({"backbone": "resnet18"}, "timm:resnet18"),
        ({"views": "simcrl"}, "unknown"),
        ({"weights": "timm"}, "no pretrained weights of 'small'"),
        ({"backbone": "timm:resnet10t", "weights": "none.safetensors"}, "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        train(IMAGES, config(**{"method": "simclr", **options}))


def test_a_loss_of_nan_names_its_batch_and_leaves_the_last_state(tmp_path: Path) -> None:
    class Broken(METHODS["simclr"]):
        def compare(self, rows: object, batch_idx: int) -> Tensor:
            loss = super().compare(rows, batch_idx)
            return loss * math.nan if self.global_step == 6 else loss

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "simclr", Broken)
        with pytest.raises(InputError, match="loss of nan at batch 3 of epoch 2"):
            train(IMAGES, config("simclr"), checkpoints=tmp_path, save_every=0)
    whole = train(IMAGES, config("simclr"))
    again = train(IMAGES, config("simclr"), checkpoints=tmp_path)
    assert again.losses == whole.losses


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    train(IMAGES, config("simclr", epochs=1), checkpoints=tmp_path)
    with pytest.raises(InputError, match=r"method = simclr, not moco-v2\); start over"):
        train(IMAGES, config("moco-v2", epochs=1), checkpoints=tmp_path)
    found = torch.load(tmp_path / "last.ckpt", weights_only=True)
    found["temperance"]["format"] = 1
    torch.save(found, tmp_path / "last.ckpt")
    with pytest.raises(InputError, match="format 1, this version goes on from 2"):
        train(IMAGES, config("simclr", epochs=1), checkpoints=tmp_path)


@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 0.3), ("lars", 10.0)])
def test_other_optimisers_learn(optimizer: str, rate: float) -> None:
    asked = config("simclr", epochs=8, optimizer=optimizer, learning_rate=rate)
    training = train(IMAGES, asked)
    assert training.losses[-1] < training.losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_learns_what_full_precision_does(name: str) -> None:
    full = train(IMAGES, config(name), labels=LABELS)
    half = train(IMAGES, config(name, precision="bf16-mixed"), labels=LABELS)
    assert half.losses == pytest.approx(full.losses, rel=0.02)
    assert half.losses != full.losses
