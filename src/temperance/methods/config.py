"""What a training run is asked to do."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from temperance.errors import InputError
from temperance.losses.inputs import fault_of
from temperance.temperatures import Learnable, policy


def checked_temperature(value: float) -> float:
    """The value, if it can be a temperature.

    Raises:
        InputError: if it is not positive and finite.

    Example:
        >>> checked_temperature(0.0)
        Traceback (most recent call last):
        ...
        temperance.errors.InputError: temperature 0 is not positive and finite; give a number such as 0.1
    """
    fault = fault_of(value)
    if fault is not None:
        raise InputError(f"temperature {value:g} {fault}; give a number such as 0.1")
    return value


def rule_or_number(value: float | str) -> float | str:
    """A temperature as a number, or the words of a rule.

    Raises:
        InputError: if it is neither.

    Example:
        >>> rule_or_number("0.2")
        0.2
        >>> rule_or_number("cosine:0.1,1")
        'cosine:0.1,1'
    """
    try:
        number = float(value)
    except ValueError:
        words = str(value).strip()
    else:
        return checked_temperature(number)
    if is_sigmoid(words):
        sigmoid_initial(words)
    elif words != SIMPLE:
        policy(words, instances=2)
    return words


def is_sigmoid(words: float | str) -> bool:
    """Whether SigLIP's loss is asked for."""
    return str(words).partition(":")[0] == SIGMOID


def sigmoid_initial(words: str) -> float:
    """The τ at which the sigmoid loss begins: SigLIP's 0.1 unless typed after a colon."""
    rest = words.partition(":")[2]
    return Learnable(float(rest) if rest else 0.1).last


def weighed(config: "TrainingConfig") -> bool:
    """Whether all negatives are pushed as τ weighs them: what readings of the temperature are of."""
    return config.temperature != SIMPLE and config.hardest is None


def check_loss(method: "Method", temperature: float | str, hardest: float | None) -> None:
    """Refuse what the method's loss cannot be.

    Raises:
        InputError: names the method and what it does not do.
    """
    name = str(temperature).partition(":")[0]
    if name == SIGMOID and method not in ("simclr", "paired"):
        raise InputError(f"the sigmoid loss compares the pairs of a batch; {method} does not")
    if (name == SIMPLE or hardest is not None) and method not in RANKING:
        asked = "the simple loss" if hardest is None else "hardest"
        raise InputError(f"{asked} is for the methods {', '.join(RANKING)}, not for {method}")
    if hardest is not None and name in (SIGMOID, "per-anchor"):
        raise InputError(f"hardest is not for temperature {temperature!r}; leave one of them out")


# The losses that take other words than a rule's: SigLIP's, and the limit of InfoNCE as τ rises.
SIGMOID, SIMPLE = "sigmoid", "simple"
Temperature = Annotated[float, AfterValidator(checked_temperature)]
Rule = Annotated[float | str, AfterValidator(rule_or_number)]

Method = Literal["simclr", "moco-v1", "moco-v2", "instdisc", "instdisc-softmax", "supcon", "paired"]
# Those whose loss may be the simple one, or that of the hardest negatives alone.
RANKING: tuple[Method, ...] = ("simclr", "moco-v1", "moco-v2")
# The share of the negatives that the paper of the hard losses takes for CIFAR10.
HARDEST = 0.08
Optimizer = Literal["adamw", "sgd", "lars"]
Precision = Literal["32-true", "64-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True)
class Paper:
    """What the paper of a method set, where it is not said otherwise.

    Attributes:
        temperature: τ, or a rule.
        head: of the projection; see ``EncoderSpec``.
        colour_views: how colour images are augmented; grey ones by ``"default"``, which mirrors no letters.
        momentum: of the slow encoder or of the bank, where there is one.
        epoch_factor: epochs for one of the others. Into a bank each image comes once
            an epoch, and as one view, not two.
    """

    temperature: float | str
    head: str
    colour_views: str
    momentum: float = 0.0
    epoch_factor: int = 1


PAPERS: dict[Method, Paper] = {
    "simclr": Paper(0.1, "mlp", "simclr"),
    "moco-v1": Paper(0.07, "linear", "default", momentum=0.999),
    "moco-v2": Paper(0.2, "mlp", "moco-v2", momentum=0.999),
    "instdisc": Paper(0.07, "linear", "default", momentum=0.5, epoch_factor=4),
    "instdisc-softmax": Paper(0.07, "linear", "default", momentum=0.5, epoch_factor=4),
    "supcon": Paper(0.1, "mlp", "simclr"),
    "paired": Paper("learnable:0.07", "mlp", "simclr"),
}
# Learning rate of a batch of 256: grows with the batch, except under AdamW, as in MoCo and SimCLR.
LEARNING_RATES: dict[Optimizer, float] = {"adamw": 2e-3, "sgd": 0.03, "lars": 0.3}
WEIGHT_DECAYS: dict[Optimizer, float] = {"adamw": 1e-4, "sgd": 1e-4, "lars": 1e-6}


class Recipe(BaseModel):
    """How extractors are trained, whatever their temperature and seed.

    AdamW is the default because its step does not grow with the gradient: the push of InfoNCE carries a
    factor 1/τ, and plain SGD at one learning rate would confound the temperature with the step size.

    Attributes:
        method: ``"simclr"``, ``"moco-v1"``, ``"moco-v2"``, ``"instdisc"`` (noise-contrastive estimation),
            ``"instdisc-softmax"`` (its full softmax), ``"supcon"`` (needs labels) or ``"paired"``.
        epochs: passes over the training split.
        batch_size: instances a step, over all processes; the whole split, if that is smaller.
        optimizer: ``"adamw"``, ``"sgd"`` (momentum 0.9) or ``"lars"`` (from timm).
        learning_rate: warmed up over the first twentieth of the run and then let down along a cosine; unless
            given, 2e-3 under AdamW, and otherwise 0.03 (SGD) or 0.3 (LARS) × batch_size / 256.
        weight_decay: unless given, 1e-4, or 1e-6 under LARS.
        views: the recipe of the two views, see ``temperance.data.Views``; unless given, the paper's for
            colour images, and ``"default"`` for grey ones.
        backbone: see ``EncoderSpec``.
        head: see ``EncoderSpec``; the paper's unless given.
        widths: see ``EncoderSpec``.
        projection: see ``EncoderSpec``.
        norm: see ``EncoderSpec``.
        weights: with which a backbone of timm begins: a safetensors file, or ``"timm"`` for those that timm
            downloads.
        queue: keys that MoCo keeps; at most one epoch's, since a longer queue would hold the query itself.
        momentum: of MoCo's slow encoder or of InstDisc's bank; unless given, the papers' 0.999 and 0.5, but
            1 - 5 / steps in MoCo's runs of under 5,000 steps, in which so slow an encoder gets nowhere.
        noise: noise instances of InstDisc for each image.
        hardest: the share of an anchor's negatives that it is pushed from, the most similar ones; all, unless
            given (Wang & Liu 2021, arXiv 2012.09740). SimCLR's negatives are then the other images' views of
            the other kind.
        chunk: images encoded at a time with gradients, so that a batch larger than memory fits: each chunk
            is encoded twice (Gao et al. 2021, arXiv 2101.06983).
        precision: as Lightning names it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method = "simclr"
    epochs: int = Field(ge=1)
    batch_size: int = Field(default=256, ge=2)
    optimizer: Optimizer = "adamw"
    learning_rate: float = Field(default=LEARNING_RATES["adamw"], gt=0)
    weight_decay: float = Field(default=WEIGHT_DECAYS["adamw"], ge=0)
    views: str | None = None
    backbone: str = "small"
    head: str = PAPERS["simclr"].head
    widths: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(16, 32, 64), min_length=1)
    projection: int = Field(default=64, ge=2)
    norm: Literal["batch", "group"] = "batch"
    weights: str | None = None
    queue: int = Field(default=65_536, ge=1)
    momentum: float | None = Field(default=None, ge=0, lt=1)
    noise: int = Field(default=4096, ge=1)
    hardest: float | None = Field(default=None, gt=0, le=1)
    chunk: int | None = Field(default=None, ge=1)
    precision: Precision = "32-true"

    @model_validator(mode="before")
    @classmethod
    def _as_usual(cls, given: dict[str, Any]) -> dict[str, Any]:
        """What follows from what was given."""
        paper = PAPERS.get(given.get("method", "simclr"))
        optimizer = given.get("optimizer", "adamw")
        usual: dict[str, Any] = {}
        if paper is not None:
            usual["head"] = paper.head
            if "temperature" in cls.model_fields:
                usual["temperature"] = paper.temperature
        if optimizer in LEARNING_RATES:
            size = given.get("batch_size", 256)
            scale = size / 256 if optimizer != "adamw" and isinstance(size, int) else 1.0
            usual["learning_rate"] = LEARNING_RATES[optimizer] * scale
            usual["weight_decay"] = WEIGHT_DECAYS[optimizer]
        return usual | given

    def at(self, temperature: float | str, seed: int) -> "TrainingConfig":
        """One training by this recipe."""
        recipe = self.model_dump(include=set(Recipe.model_fields))
        return TrainingConfig(temperature=temperature, seed=seed, **recipe)


class TrainingConfig(Recipe):
    """One training run; together with the data it fixes every number that comes out.

    Attributes:
        temperature: τ > 0, or the words of a rule; see ``temperance.temperatures.policy``. ``sigmoid`` is
            SigLIP's loss, with a temperature and a bias that are learned; ``simple`` is InfoNCE's limit as τ
            rises, which pushes all negatives alike. The method's paper's unless given.
        seed: of the initial weights, the order of images and their views.

    Example:
        >>> TrainingConfig(method="moco-v2", epochs=10).temperature
        0.2
    """

    temperature: Rule = PAPERS["simclr"].temperature
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> "TrainingConfig":
        check_loss(self.method, self.temperature, self.hardest)
        return self
