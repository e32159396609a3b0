"""The commands as a person gives them: what they print, write and refuse."""

import json
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

import temperance
from temperance.cli import main
from temperance.cli.app import RULES
from temperance.runs.results import json_schema
from temperance.speed import implementations, measuring, memory
from temperance.temperatures import KINDS


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def test_help_lists_every_rule_for_the_temperature() -> None:
    # Typed out there, so that help loads no torch.
    for name, kind in KINDS.items():
        assert f"{kind.form}" in RULES, name


def test_explain_prints_the_known_figures_and_writes_a_page(tmp_path: Path, capsys) -> None:
    assert run("explain", "--out", str(tmp_path)) == 0
    printed = capsys.readouterr().out
    for figure in ("0.4076", "0.1429", "4.5401e-05", "2.4076", "4.1429", "20.0000", "1.3133"):
        assert figure in printed
    assert "<html" in (tmp_path / "explain.html").read_text(encoding="utf-8")


def test_explain_takes_embeddings_and_their_labels(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(30, 4))
    np.savez(tmp_path / "x.npz", image=x, other=x[:, :2], kind=np.array(list("abc") * 10))
    (tmp_path / "labels.txt").write_text("cat\ndog\n" * 15)
    file = ("--embeddings", str(tmp_path / "x.npz"), "--column", "image")
    for labels, name in (("kind", '"b"'), (str(tmp_path / "labels.txt"), '"dog"')):
        assert run("explain", *file, "--labels", labels, "--out", str(tmp_path)) == 0
        page = (tmp_path / "explain.html").read_text(encoding="utf-8")
        assert '"shown": "30", "total": "30", "width": "4"' in page
        assert name in page


def test_explain_refuses_labels_of_nothing(tmp_path: Path, capsys) -> None:
    assert run("explain", "--labels", "kind", "--out", str(tmp_path)) == 2
    assert "--labels kind belongs to --embeddings" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_explain_as_json(tmp_path: Path, capsys) -> None:
    assert run("explain", "--json", "--out", str(tmp_path)) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["temperature"] for row in rows} == {3, 1, 0.5, 0.1}


def test_data_list_names_what_can_be_trained_on(capsys) -> None:
    assert run("data", "list", "--json") == 0
    assert {"glyphs", "cifar10", "hf:NAME", "FOLDER"} < set(json.loads(capsys.readouterr().out))


def test_data_show_writes_a_sheet_of_images_and_their_views(tmp_path: Path, capsys) -> None:
    command = ("data", "show", "digits", "--count", "5", "--views", "moco-v2", "--json")
    assert run(*command, "--out", str(tmp_path)) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["images"], told["channels"], told["size"]) == (1797, 1, 8)
    assert told["classes"] == list("0123456789")
    with Image.open(told["sheet"]) as sheet:
        # Four across, each three tiles of 64 pixels; two rows.
        assert sheet.size == (4 * (3 * (64 + 2) + 16), 2 * (64 + 16))
    assert "<html" in Path(told["page"]).read_text(encoding="utf-8")
    assert run(*command[:-1], "--out", str(tmp_path)) == 0
    assert "1,797 grey images of 10 classes, 8 × 8" in capsys.readouterr().out


def test_data_kept_elsewhere_are_found_by_root(tmp_path: Path, capsys) -> None:
    command = ("train", "mnist", "--temperature", "0.2", "--epochs", "1", "--json")
    pytest.importorskip("torchvision")
    folder = tmp_path / "data" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for part, n in (("train", 60), ("t10k", 20)):
        head = b"".join(x.to_bytes(4, "big") for x in (0x803, n, 28, 28))
        pixels = random.integers(0, 256, n * 784, np.uint8).tobytes()
        (folder / f"{part}-images-idx3-ubyte").write_bytes(head + pixels)
        head = b"".join(x.to_bytes(4, "big") for x in (0x801, n))
        labels = bytes(i % 10 for i in range(n))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(head + labels)
    places = ("--root", str(tmp_path / "data"), "--out", str(tmp_path / "run"))
    assert run(*command, *places) == 0
    assert json.loads(capsys.readouterr().out)["config"]["data"] == "mnist"


def test_version_and_help(capsys) -> None:
    assert run("--version") == 0
    assert temperance.__version__ in capsys.readouterr().out
    for command in (
        ["sweep"],
        ["train"],
        ["explain"],
        ["bench"],
        ["embed"],
        ["data", "list"],
        ["data", "show"],
    ):
        assert run(*command, "--help") == 0
        assert "Example: temperance" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", "glpyhs"], "did you mean 'glyphs'"),
        (["sweep", "digits", "--temperatures", "0"], "temperature 0 is not positive"),
        (["sweep", "digits", "--temperatures", "0.1,-1"], "temperature -1 is not positive"),
        (["sweep", "digits", "--temperatures", "nan"], "temperature nan is not positive"),
        (["sweep", "digits", "--temperatures", "inf"], "temperature inf is not positive"),
        (["sweep", "digits", "--temperatures", "warm"], "temperature 'warm' is not a number"),
        (["sweep", "digits", "--temperatures", ","], "no temperatures given"),
        (["sweep", "digits", "--seeds", "0"], "seeds: "),
        (["sweep", "digits", "--epochs", "-3"], "epochs: "),
        (["sweep", "digits", "--epochs", "many"], "--epochs"),
        (["sweep", "digits", "--workers", "0"], "--workers 0 is not positive"),
        (["sweep", "digits", "--metric", "luck"], "metric: "),
        (["sweep", "digits", "--budgets", "3,x"], "give training lengths in epochs"),
        (["sweep", "digits", "--budgets", "0,3"], "give training lengths in epochs"),
        (["sweep", "digits", "--budgets", "5"], "of 5 epochs and must be the longest"),
        (["sweep", "digits", "--budgets", "5,9", "--epochs", "8"], "of 8 epochs and must be"),
        (["sweep", "digits", "--budgets", "1,2", "--budget", "2x"], "--budgets goes with a full"),
        (["sweep", "digits", "--losses", "--budget", "2x"], "--losses goes with a full"),
        (["sweep", "digits", "--losses", "--set", "hardest=0.1"], "leave hardest out"),
        (["sweep", "digits", "--losses", "--method", "supcon"], "the simple loss is for"),
        (
            ["sweep", "digits", "--temperature", "sigmoid", "--method", "moco-v2"],
            "the sigmoid loss compares the pairs of a batch; moco-v2 does not",
        ),
        (["train", "digits", "--set", "hardest=0.1", "--method", "instdisc"], "hardest is for"),
        (
            ["train", "digits", "--set", "hardest=0.1", "--temperature", "sigmoid"],
            "hardest is not for temperature 'sigmoid'",
        ),
        (["train", "digits", "--set", "hardest=1.5"], "hardest: Input should be less than"),
        (
            ["sweep", "digits", "--budget", "2x", "--set", "hardest=0.1", "--method", "supcon"],
            "hardest is for the methods",
        ),
        (["sweep", "digits", "--grid", "runs"], "--grid goes with --budget"),
        (["sweep", "digits", "--storage", "sqlite://"], "--storage goes with --budget"),
        (["sweep", "digits", "--budget", "2x", "--grid", "none"], "none/results.json"),
        (["sweep", "digits", "--config", "none.yaml"], "cannot read none.yaml"),
        (["sweep", "digits", "--image-size", "32"], "has a size of its own"),
        (["train", "digits", "--method", "moco"], "method: Input should be 'simclr', 'moco-v1'"),
        (["train", "digits", "--set", "depth=3"], "--set depth=3: give NAME=VALUE with one of"),
        (
            ["train", "digits", "--set", "widths=8,none"],
            "widths.1: Input should be a valid integer",
        ),
        (["train", "digits", "--batch-size", "1"], "batch_size: Input should be greater than"),
        (["train", "digits", "--set", "batch_size=many"], "batch_size: Input should be a valid"),
        (["train", "digits", "--backbone", "timm:resnet81"], "the nearest are"),
        (["train", "digits", "--save-every", "0"], "--save-every 0 is not positive"),
        (["train", "digits", "--devices", "3"], "cannot be shared by 3 processes"),
        (["data", "show", "digits", "--views", "byol"], "views 'byol' are unknown"),
        (["data", "show", "digits", "--count", "0"], "--count 0 is not positive"),
        (["data", "show", "glpyhs"], "did you mean 'glyphs'"),
        (["train", "digits", "--temperature", "0"], "temperature 0 is not positive"),
        (["train", "digits", "--temperature", "hot"], "temperature 'hot' is not a number"),
        (["train", "digits", "--budget", "2x"], "give it beside --temperature auto"),
        (["train", "digits", "--temperature", "auto", "--budget", "1"], "budget: Input should be"),
        (
            ["train", "digits", "--temperature", "auto", "--budget", "x"],
            "budget '' is not a number",
        ),
        (
            ["train", "digits", "--temperature", "auto", "--epochs", "4"],
            "leave no room to try two temperatures",
        ),
        (
            ["train", "digits", "--temperature", "auto", "--devices", "2"],
            "search first, by temperance sweep --budget",
        ),
        (["bench", "--loss", "clap"], "loss 'clap' is unknown"),
        (["bench", "--loss", ","], "no losses given"),
        (["bench", "--rows", "3"], "3 rows make no loss"),
        (["bench", "--rows", "4097"], "4097 rows are odd"),
        (["bench", "--rows", "many"], "--rows"),
        (["bench", "--rows", "1000000000000"], "GB are free; give fewer rows"),
        (["bench", "--width", "0"], "width 0 is not positive"),
        (["bench", "--queue", "0"], "queue 0 is not positive"),
        (["bench", "--temperature", "0"], "temperature 0 is not positive"),
        (["bench", "--rounds", "0"], "--rounds 0 is not positive"),
        (["bench", "--device", "tpu"], "--device tpu is unknown"),
        (["swep"], "Did you mean 'sweep'"),
        (["sweep", "digits", "--tau", "1"], "--tau"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(
    arguments: list[str], message: str, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.startswith("temperance: ")
    assert printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def _two_implementations(monkeypatch) -> None:
    """Other libraries may be installed here or not."""
    monkeypatch.setattr(implementations, "IMPLEMENTATIONS", implementations.IMPLEMENTATIONS[:2])


@pytest.mark.usefixtures("_two_implementations")
def test_bench_as_json(capsys) -> None:
    command = ("bench", "--loss", "moco", "--rows", "64", "--queue", "96", "--width", "8")
    assert run(*command, "--rounds", "2", "--temperature", "0.2", "--json") == 0
    printed = capsys.readouterr()
    assert printed.err == "moco, 64 × 96 rows, D = 8\n"
    told = json.loads(printed.out)
    assert (told["temperature"], told["rounds"]) == (0.2, 2)
    ((one),) = told["cases"]
    assert [one[x] for x in ("loss", "rows", "width", "queue")] == ["moco", 64, 8, 96]
    assert [x["name"] for x in one["measured"]] == ["temperance", "dense"]
    assert one["measured"][1]["times_dense"] == 1
    for x in one["measured"]:
        assert x["fault"] is None
        assert x["seconds"] > 0
        assert x["times_floor"] > 0
        assert 0 <= x["gradient_error"] < 1e-4


@pytest.mark.usefixtures("_two_implementations")
def test_bench_prints_a_table_and_says_what_would_not_fit(capsys, monkeypatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 5_000_000)
    command = ("bench", "--loss", "clip,clip", "--rows", "1000", "--width", "4", "--rounds", "1")
    assert run(*command, "--device", "cpu") == 0
    printed = capsys.readouterr().out
    assert printed.count("clip, 1,000 rows, D = 4") == 1
    assert "│ temperance " in printed
    assert "│ dense " not in printed
    assert "dense cannot run clip: needs 16 MB, 5 MB are free." in printed
    assert "× dense says how many times faster" in printed


def test_bench_as_json_has_no_nan(capsys, monkeypatch) -> None:
    def lost(name: str, module: object):
        return lambda a, b, queue, tau: (a * b).sum() * float("nan")

    peer = implementations.Implementation("peer", {"clip": lambda case: 0.0}, lost)
    monkeypatch.setattr(implementations, "IMPLEMENTATIONS", (implementations.TEMPERANCE, peer))
    monkeypatch.setattr(measuring, "peak_bytes", lambda *_: None)
    assert run("bench", "--loss", "clip", "--rows", "8", "--rounds", "1", "--json") == 0
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert told["cases"][0]["measured"][1]["gradient_error"] is None


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path, capsys) -> None:
    (tmp_path / "file").write_text("x")
    out = str(tmp_path / "file" / "run")
    assert run("train", "digits", "--temperature", "0.2", "--out", out) == 2
    assert "cannot write" in capsys.readouterr().err


def test_train_leaves_a_run_folder_and_goes_on_with_it(tmp_path: Path, capsys) -> None:
    out = tmp_path / "run"
    command = ("train", "digits", "--temperature", "0.2", "--epochs", "2", "--out", str(out))
    assert run(*command, "--json") == 0
    first = json.loads(capsys.readouterr().out)
    jsonschema.validate(first, json_schema())
    assert first == json.loads((out / "results.json").read_text(encoding="utf-8"))
    for name in ("config.yaml", "metrics.csv", "encoder.safetensors", "encoder.json"):
        assert (out / name).exists()
    assert (out / "metrics.csv").read_text().count("\n") == 3
    encoder = temperance.load_encoder(out)
    assert encoder.spec.size == 8

    assert run(*command, "--json") == 0
    assert json.loads(capsys.readouterr().out) == first  # nothing was trained again

    assert run(*command, "--no-resume", "--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert again["runs"][0]["losses"] == first["runs"][0]["losses"]

    other = (*command[:5], "3", *command[6:])
    assert run(*other) == 2
    assert "holds a run with epochs = 2, not 3" in capsys.readouterr().err

    config = str(out / "config.yaml")
    copy = tmp_path / "copy"
    assert run("train", "digits", "--config", config, "--out", str(copy), "--json") == 0
    copied = json.loads(capsys.readouterr().out)
    assert copied["config"] == first["config"]
    assert copied["runs"][0]["losses"] == first["runs"][0]["losses"]


def test_a_config_brings_its_own_data(tmp_path: Path, capsys) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    command = ("train", "digits", "--temperature", "0.2", "--epochs", "1", "--out", str(first))
    assert run(*command) == 0
    config = str(first / "config.yaml")
    assert run("train", "--config", config, "--out", str(second)) == 0
    assert (second / "config.yaml").read_text() == (first / "config.yaml").read_text()
    text = (first / "config.yaml").read_text()
    (tmp_path / "other.yaml").write_text(text.replace("fingerprint: ", "fingerprint: x"))
    capsys.readouterr()
    other = str(tmp_path / "other.yaml")
    assert run("train", "--config", other, "--out", str(tmp_path / "third")) == 2
    assert "are not those of" in capsys.readouterr().err


def test_a_damaged_run_is_named_and_not_gone_on_with(tmp_path: Path, capsys) -> None:
    out = tmp_path / "run"
    command = ("train", "digits", "--temperature", "0.2", "--epochs", "2", "--out", str(out))
    assert run(*command) == 0
    whole = {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()}

    def refused(name: str, content: bytes) -> str:
        (out / name).write_bytes(content)
        capsys.readouterr()
        assert run(*command) == 2
        (out / name).write_bytes(whole[name])
        printed = capsys.readouterr().err
        assert printed.count("\n") == 1
        return printed

    assert "delete it and give the same command again" in refused("member.json", b"{}")
    assert "is damaged" in refused("arrays.safetensors", whole["arrays.safetensors"][:100])
    assert "is damaged" in refused("encoder.safetensors", whole["encoder.safetensors"][:900])
    assert "has schema 99" in refused("results.json", b'{"schema": 99}')
    assert "holds a run with epochs" in refused(
        "config.yaml", whole["config.yaml"].replace(b"epochs: 2", b"epochs: 3")
    )
    (out / "member.json").unlink()
    (out / "checkpoints" / "last.ckpt").write_bytes(b"")
    assert run(*command) == 2
    assert "start over with --no-resume" in capsys.readouterr().err
    assert run(*command, "--no-resume") == 0


def test_too_little_to_measure_on_is_said_before_anything_is_trained(
    tmp_path: Path, capsys
) -> None:
    for i in range(40):
        folder = tmp_path / "pictures" / f"class {i // 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (10, 10), (i, 2 * i, 0)).save(folder / f"{i}.png")
    assert run("sweep", str(tmp_path / "pictures"), "--out", str(tmp_path / "run")) == 2
    assert "leaves 0 images to measure on" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_without_labels_auto_names_the_constant_that_was_measured(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "flat"
    folder.mkdir()
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8)):
        Image.fromarray(pixels).save(folder / f"{i}.png")
    out = tmp_path / "run"
    assert run("train", str(folder), "--temperature", "auto", "--out", str(out)) == 2
    printed = capsys.readouterr().err
    assert "has no labels to search by" in printed
    assert "train with --temperature 0.2" in printed
    assert not out.exists()


@pytest.mark.parametrize("budget", [[], ["--budget", "2x"]])
def test_without_ray_its_executor_says_what_to_install(
    budget: list[str], tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    out = tmp_path / "run"
    assert run("sweep", "digits", "--executor", "ray", *budget, "--out", str(out)) == 2
    assert "install it with: pip install 'temperance[ray]'" in capsys.readouterr().err
    assert not out.exists()


def test_names_that_look_like_markup_are_printed_as_they_are(tmp_path: Path, capsys) -> None:
    out = tmp_path / "x[bold]y[/z]"
    assert run("explain", "--out", str(out)) == 0
    assert f"{out}/explain.html" in capsys.readouterr().out


def test_unreadable_images_are_noted_on_the_error_stream(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    random = np.random.default_rng(0)
    for i in range(40):
        Image.fromarray(random.integers(0, 256, (20, 20, 3), np.uint8)).save(folder / f"{i}.png")
    (folder / "7.png").write_bytes(b"broken")
    arguments = ("train", str(folder), "--temperature", "0.2", "--epochs", "1", "--json")
    assert run(*arguments, "--out", str(tmp_path / "run")) == 0
    printed = capsys.readouterr()
    assert "skipped 1 of 40 images" in printed.err
    results = json.loads(printed.out)
    jsonschema.validate(results, json_schema())
    assert results["runs"][0]["test"]["features"]["linear_accuracy"] is None
    assert "7.png" in results["data"]["notes"][0]


def test_a_run_of_a_folder_that_has_changed_is_refused(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(40):
        Image.new("RGB", (10, 10), (i, 2 * i, 0)).save(folder / f"{i}.png")
    arguments = ("train", str(folder), "--temperature", "0.2", "--epochs", "1")
    arguments = (*arguments, "--out", str(tmp_path / "run"))
    assert run(*arguments) == 0
    (folder / "0.png").unlink()
    capsys.readouterr()
    assert run(*arguments) == 2
    assert "holds a run with fingerprint" in capsys.readouterr().err
