"""What a training run is asked to do."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

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
    if words.partition(":")[0] == SIGMOID:
        sigmoid_initial(words)
    else:
        policy(words, instances=2)
    return words


def sigmoid_initial(words: str) -> float:
    """The τ at which the sigmoid loss begins: SigLIP's 0.1 unless typed after a colon."""
    rest = words.partition(":")[2]
    return Learnable(float(rest) if rest else 0.1).last


SIGMOID = "sigmoid"
Temperature = Annotated[float, AfterValidator(checked_temperature)]
Rule = Annotated[float | str, AfterValidator(rule_or_number)]


class TrainingConfig(BaseModel):
    """One training run; together with the data it fixes every number that comes out.

    AdamW is the default because its step does not grow with the gradient: the push of InfoNCE carries a
    factor 1/τ, and plain SGD at one learning rate would confound the temperature with the step size.

    Attributes:
        temperature: τ > 0, or the words of a rule; see ``temperance.temperatures.policy``. ``sigmoid`` is
            SigLIP's loss, with a temperature and a bias that are learned.
        epochs: passes over the training split.
        seed: of the initial weights, the order of images and their views.
        batch_size: instances a step; the whole split, if that is smaller.
        learning_rate: of AdamW, warmed up over the first twentieth of the run and then let down along a
            cosine.
        weight_decay: of AdamW.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: Rule
    epochs: int = Field(ge=1)
    seed: int = Field(default=0, ge=0)
    batch_size: int = Field(default=256, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
