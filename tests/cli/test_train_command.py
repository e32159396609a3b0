"""The command that a sweep recommends trains as the sweep did."""

import shlex

import pytest

from temperance.cli.app import app
from temperance.cli.given import recipe_given, settle
from temperance.methods import Recipe
from temperance.search import SweepConfig
from temperance.search.sweep import train_command

DATA = {"data": "digits", "fingerprint": "0", "epochs": 3}


def test_what_has_an_option_of_its_own_may_be_set_as_well() -> None:
    typed = [
        settle(SweepConfig, {"data": "digits"} | recipe_given(words, batch_size=size), None)[0]
        for words, size in ((["batch_size=64"], None), (None, 64))
    ]
    assert typed[0] == typed[1]
    assert typed[0].batch_size == 64


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method": "moco-v2", "optimizer": "sgd", "batch_size": 64},
        {"widths": (8, 16), "backbone": "timm:resnet18", "views": "moco-v2", "head": "linear"},
        {"learning_rate": 0.1, "chunk": 32, "norm": "group", "momentum": 0.9, "queue": 128},
    ],
)
def test_typed_again_it_gives_the_same_recipe(
    options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = SweepConfig(**DATA, **options)
    given: dict[str, object] = {}
    monkeypatch.setattr("temperance.cli.train.run_train", lambda **called: given.update(called))
    words = shlex.split(train_command(config, 0.2))
    app(words[1:], standalone_mode=False)
    typed = {name: value for name, value in given["given"].items() if value is not None}
    recipe = Recipe(**{name: value for name, value in typed.items() if name in Recipe.model_fields})
    assert recipe == Recipe(**config.model_dump(include=set(Recipe.model_fields)))
    assert typed["temperature"] == "0.2"
    assert (options == {}) == ("--set" not in words and "--method" not in words)
