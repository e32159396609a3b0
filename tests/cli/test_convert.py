"""One temperature in the words of every library."""

import json

import pytest

from temperance.cli import main


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["convert", *arguments])
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    "given", [("--scale", "20"), ("--temperature", "0.05"), ("--log-scale", "2.995732273553991")]
)
def test_all_three_ways_to_say_it_agree(given: tuple[str, str], capsys) -> None:
    assert run(*given, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    typed = found.pop("libraries")
    assert found == pytest.approx({"temperature": 0.05, "scale": 20, "log_scale": 2.995732273554})
    assert typed["lightly"] == "NTXentLoss(temperature=0.05)"
    assert typed["sentence-transformers"] == "MultipleNegativesRankingLoss(model, scale=20)"
    assert typed["SupContrast"] == "SupConLoss(temperature=0.05, base_temperature=0.05)"


def test_the_table(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert run("--log-scale", "-1", "--base-temperature", "0.07") == 0
    printed = capsys.readouterr().out
    for part in ("2.71828", "0.367879", "open_clip", "logit_scale=-1", "T=2.71828"):
        assert part in printed
    assert "τ/τ₀ = 38.8326" in printed


def test_help(capsys) -> None:
    assert run("--help") == 0
    assert "Example: temperance" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "0 of --temperature, --scale and --log-scale are given"),
        (("--scale", "20", "--temperature", "0.05"), "2 of --temperature"),
        (("--scale", "0"), "scale 0 is not positive"),
        (("--scale", "nan"), "scale nan is not positive"),
        (("--scale", "big"), "scale 'big' is not a number"),
        (("--scale", "1e9"), "is not between"),
        (("--log-scale", "nan"), "temperature nan is not positive"),
        (("--log-scale", "-1e9"), "no finite temperature"),
        (("--log-scale", "1e9"), "temperature 0 is not positive"),
        (("--temperature", "-1"), "temperature -1 is not positive"),
        (("--temperature", "1", "--base-temperature", "0"), "temperature 0 is not positive"),
    ],
)
def test_what_is_no_temperature_is_one_line(arguments, message: str, capsys) -> None:
    assert run(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.count("\n") == 1
