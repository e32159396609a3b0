"""The tree of commands. Each room is loaded only by the command that needs it, so that help is quick."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from temperance import __version__
from temperance.errors import InputError

app = typer.Typer(
    name="temperance",
    help="Train feature extractors by contrastive learning, and find the temperature that serves.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(name="data", help="The images that can be trained on.", no_args_is_help=True)
app.add_typer(data_app)

Data = Annotated[
    str | None,
    typer.Argument(
        help="A name, a folder or a file: see `temperance data list`.", show_default="glyphs"
    ),
]
Out = Annotated[Path | None, typer.Option(help="Run folder.", show_default="runs/COMMAND-DATA")]
Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON, for machines.")]
Epochs = Annotated[
    int | None,
    typer.Option(
        help="Passes over the training images.",
        show_default="about 240 steps, and four times as many for InstDisc",
    ),
]
ImageSize = Annotated[
    int | None,
    typer.Option(
        help="Side in pixels to which pictures in files are scaled.",
        show_default="their own if small squares of one size, or 32",
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        help="simclr, moco-v1, moco-v2, instdisc, instdisc-softmax, supcon or paired.",
        show_default="simclr",
    ),
]
Backbone = Annotated[
    str | None,
    typer.Option(
        help="small, or timm:NAME, such as timm:resnet18.",
        show_default="small",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(help="To begin with, of a timm backbone: a .safetensors file, or timm."),
]
ViewsRecipe = Annotated[
    str | None,
    typer.Option(
        "--views", help="How images are augmented.", show_default="the method's; default if grey"
    ),
]
BatchSize = Annotated[
    int | None, typer.Option(help="Images a step, over all processes.", show_default="256")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Any other setting of the training, as NAME=VALUE, such as optimizer=sgd; may be repeated. "
        "config.yaml of a run lists them all.",
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(help="Where downloaded data are kept.", show_default="~/.cache/temperance"),
]
Config = Annotated[
    Path | None,
    typer.Option(help="A config.yaml of an earlier run; options given beside it come first."),
]


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context,
    show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Print the version, or go on to a command."""
    if show:
        typer.echo(f"temperance {__version__}")
        raise typer.Exit


RULES = (
    "Rules for the temperature: learnable[:0.07], learned as in CLIP · cosine[:0.1,1], a cosine from high to "
    "low and back · linear:0.5,0.1 · warm-up:0.5,0.1[,0.1] · steps:0.5,0.2,0.1 · aligned[:0.1], rising as "
    "views agree · pairwise[:0.07,0.2], by similarity · effective[:0.3], the push shared among that part of "
    "the negatives · effective-each[:0.3], for each anchor · per-anchor[:0.1], one for each instance · free, "
    "none · simple, none: the limit as τ rises · sigmoid[:0.1], SigLIP's loss."
)


@app.command(
    epilog="Example: temperance sweep glyphs --temperatures 0.05,0.1,0.2,0.5 --seeds 3\n\n" + RULES,
)
def sweep(
    data: Data = None,
    temperatures: Annotated[
        str | None,
        typer.Option(help="Comma-separated.", show_default="8 from 0.03 to 1"),
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            "--temperature",
            help="A rule to compare with the best of them; may be repeated. See below.",
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Runs a temperature.", show_default="3")] = None,
    epochs: Epochs = None,
    method: Method = None,
    backbone: Backbone = None,
    weights: Weights = None,
    views: ViewsRecipe = None,
    batch_size: BatchSize = None,
    settings: Settings = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="What the headline is for: linear, knn or few-shot.", show_default="linear"
        ),
    ] = None,
    image_size: ImageSize = None,
    root: Root = None,
    executor: Annotated[
        Literal["local", "ray"],
        typer.Option(
            help="Where runs are worked on: processes of this machine, or a Ray cluster, such as that of "
            "RAY_ADDRESS. Needs the extra: ray.",
        ),
    ] = "local",
    workers: Annotated[
        int | None, typer.Option(help="Runs at a time.", show_default="one a core")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Search instead, for the price of so many trainings, such as 2x: short ones choose τ, "
            "which is then trained in full. Needs the extra: search.",
        ),
    ] = None,
    budgets: Annotated[
        str | None,
        typer.Option(
            help="Lengths of training in epochs, such as 3,10,22: a whole sweep of each, to see how the best "
            "τ moves. The longest is the sweep's own.",
        ),
    ] = None,
    losses: Annotated[
        bool,
        typer.Option(
            "--losses",
            help="Compare with the simple loss, which has no τ, and both with the hardest negatives alone: "
            "a second sweep.",
        ),
    ] = False,
    storage: Annotated[
        str | None,
        typer.Option(
            help="With --budget: database that processes and machines share, by URL.",
            show_default="SQLite in the run folder",
        ),
    ] = None,
    grid: Annotated[
        Path | None,
        typer.Option(
            help="With --budget: the folder of a full sweep of the same, to say what the search lost to it."
        ),
    ] = None,
    out: Out = None,
    config: Config = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how many runs, how long, how much disk; end.")
    ] = False,
    json: Json = False,
) -> None:
    """Train at several temperatures, measure on held-out images, and recommend one.

    The same command on the same folder goes on where it was stopped.
    """
    from temperance.cli.given import recipe_given
    from temperance.cli.search import run_search
    from temperance.cli.sweep import run_sweep

    given = {
        **recipe_given(
            settings,
            method=method,
            backbone=backbone,
            weights=weights,
            views=views,
            batch_size=batch_size,
        ),
        "data": data,
        "temperatures": temperatures,
        "rules": tuple(rule) if rule else None,
        "seeds": seeds,
        "epochs": epochs,
        "metric": metric,
        "image_size": image_size,
        "root": root,
        "budgets": budgets,
        "losses": losses or None,
    }
    if budget is not None:
        run_search(given, budget, storage, grid, config, executor, workers, out, dry_run, json)
        return
    for option, value in (("--storage", storage), ("--grid", grid)):
        if value is not None:
            raise InputError(f"{option} goes with --budget; give that too, or leave {option} out")
    run_sweep(
        given=given,
        config=config,
        where=executor,
        workers=workers,
        out=out,
        dry_run=dry_run,
        as_json=json,
    )


@app.command(epilog="Example: temperance train glyphs --temperature 0.2\n\n" + RULES)
def train(
    data: Data = None,
    temperature: Annotated[
        str | None,
        typer.Option(
            help="τ, such as one that `temperance sweep` recommends, a rule (see below), or auto: search.",
            show_default="the paper's of the method",
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="What --temperature auto may cost, in trainings, this one included. Extra: search.",
            show_default="2x",
        ),
    ] = None,
    method: Method = None,
    epochs: Epochs = None,
    backbone: Backbone = None,
    weights: Weights = None,
    views: ViewsRecipe = None,
    batch_size: BatchSize = None,
    settings: Settings = None,
    seed: Annotated[
        int | None, typer.Option(help="Of weights, order and views.", show_default="0")
    ] = None,
    image_size: ImageSize = None,
    root: Root = None,
    devices: Annotated[
        int, typer.Option(help="Processes on this machine that share each batch, one a GPU.")
    ] = 1,
    nodes: Annotated[
        int, typer.Option(help="Machines; start the same command on each, by torchrun or Slurm.")
    ] = 1,
    exchange: Annotated[
        Literal["gather", "ring"],
        typer.Option(
            help="How processes compare: gather, or ring, by which none holds all embeddings."
        ),
    ] = "gather",
    save_every: Annotated[
        float, typer.Option(help="Minutes between two checkpoints within an epoch.")
    ] = 5.0,
    out: Out = None,
    config: Config = None,
    resume: Annotated[
        bool, typer.Option(help="Go on from the last checkpoint, or start over.")
    ] = True,
    json: Json = False,
) -> None:
    """Train one extractor and keep it as encoder.safetensors."""
    from temperance.cli.given import recipe_given
    from temperance.cli.train import run_train
    from temperance.methods import Devices

    run_train(
        given={
            **recipe_given(
                settings,
                method=method,
                backbone=backbone,
                weights=weights,
                views=views,
                batch_size=batch_size,
            ),
            "data": data,
            "temperature": temperature,
            "budget": budget,
            "epochs": epochs,
            "seed": seed,
            "image_size": image_size,
            "root": root,
        },
        config=config,
        out=out,
        resume=resume,
        devices=Devices("auto", devices, nodes, exchange),
        save_every=save_every,
        as_json=json,
    )


@app.command(
    epilog="Example: temperance diagnose embeddings.npy --labels labels.txt --temperature 0.07"
)
def diagnose(
    embeddings: Annotated[
        str | None,
        typer.Argument(
            help="A file: .npy, .npz, .safetensors, .parquet, .arrow, .csv; or hf:NAME."
        ),
    ] = None,
    pairs: Annotated[
        str | None, typer.Option(help="A second file: row i is the partner of row i.")
    ] = None,
    negatives: Annotated[
        str | None, typer.Option(help="A third file: all negatives, in place of the other rows.")
    ] = None,
    column: Annotated[
        str | None, typer.Option(help="Which array of a file that has several.")
    ] = None,
    pair_column: Annotated[
        str | None, typer.Option(help="The partners' array, in the same file or in --pairs.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="A file (.npy, or one a line), or a column of EMBEDDINGS."),
    ] = None,
    temperature: Annotated[str | None, typer.Option(help="τ, to judge it.")] = None,
    logit_scale: Annotated[
        str | None, typer.Option(help="1/τ, such as CLIP's exp(t) or sentence-transformers' scale.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="A folder with one picture a row, in the order of names.")
    ] = None,
    texts: Annotated[Path | None, typer.Option(help="A file with one text a row.")] = None,
    anchors: Annotated[
        int | None, typer.Option(help="Rows to sample.", show_default="2048")
    ] = None,
    memory: Annotated[
        float, typer.Option(help="Gigabytes for what cannot be mapped from its file.")
    ] = 2.0,
    seed: Annotated[int, typer.Option(help="Of the sample.")] = 0,
    demo: Annotated[
        bool, typer.Option("--demo", help="Diagnose the raw pixels of the built-in letters.")
    ] = False,
    out: Out = None,
    json: Json = False,
) -> None:
    """Say whether a temperature is normal for embeddings that there are, and what moving it would do.

    Nothing is trained, and no labels are needed.
    """
    from temperance.cli.diagnose import Asked, run_diagnose

    asked = Asked(
        embeddings=embeddings,
        pairs=pairs,
        negatives=negatives,
        column=column,
        pair_column=pair_column,
        labels=labels,
        temperature=temperature,
        logit_scale=logit_scale,
        images=images,
        texts=texts,
        anchors=anchors,
        memory=memory,
        seed=seed,
        demo=demo,
    )
    run_diagnose(asked, out, as_json=json)


@app.command(epilog="Example: temperance evaluate runs/sweep-glyphs --task knn,detection --seeds 3")
def evaluate(
    run: Annotated[
        list[Path],
        typer.Argument(help="Folders of runs or extractors; a sweep is all its members."),
    ],
    task: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: knn, linear, linear-sgd (as papers train it), few-shot, finetune (1 % and "
            "10 % of labels), detection, segmentation.",
            show_default="knn,linear,few-shot",
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Labelled images; or scenes, digit-scenes, COCO, VOC, masks. May be repeated.",
            show_default="the run's own; scenes",
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Training of heads.", show_default="by task: 200 to 2250")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Measurements of each.")] = 1,
    frozen: Annotated[
        bool,
        typer.Option("--frozen", help="Keep the extractor as it is in detection and segmentation."),
    ] = False,
    supervised: Annotated[
        bool,
        typer.Option("--supervised", help="Compare with pretraining by labels, at equal steps."),
    ] = False,
    root: Root = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Say what extractors are good for, beside random weights, and write it to evaluation.json.

    The same command on the same folder goes on where it was stopped.
    """
    from temperance.cli.evaluate import run_evaluate

    run_evaluate(run, task, data or [], steps, seeds, frozen, supervised, root, out, as_json=json)


@app.command(epilog="Example: temperance embed runs/train-glyphs glyphs --out features.npy")
def embed(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or of a member of a sweep.")],
    data: Annotated[str, typer.Argument(help="As for train.")],
    out: Annotated[Path, typer.Option(help="A .npy of vectors, or a .parquet with their labels.")],
    space: Annotated[
        str, typer.Option(help="features, for heads of yours, or projection, for retrieval.")
    ] = "features",
    image_size: ImageSize = None,
    root: Root = None,
    json: Json = False,
) -> None:
    """Write what an extractor makes of images: one vector for each."""
    from temperance.cli.embed import run_embed

    run_embed(run, data, out, space, image_size, root, as_json=json)


@app.command(epilog="Example: temperance explain --embeddings embeddings.npy --labels labels.txt")
def explain(
    embeddings: Annotated[
        str | None,
        typer.Option(help="Embeddings to look at: a file as for diagnose.", show_default="none"),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="Their classes: a file (.npy, or one a line), or a column."),
    ] = None,
    column: Annotated[
        str | None, typer.Option(help="Which array of a file that has several.")
    ] = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Show what the temperature does: a page to move it by hand, over a softmax or your embeddings."""
    from temperance.cli.explain import run_explain

    run_explain(embeddings, labels, column, out, as_json=json)


@app.command(epilog="Example: temperance bench --loss nt_xent --rows 8192 --temperature 0.1")
def bench(
    loss: Annotated[
        str | None,
        typer.Option(help="Comma-separated.", show_default="info_nce,clip,nt_xent,moco"),
    ] = None,
    rows: Annotated[int, typer.Option(help="Anchors; under nt_xent both views together.")] = 4096,
    width: Annotated[int, typer.Option(help="Numbers in a vector.")] = 128,
    queue: Annotated[int, typer.Option(help="Keys in the queue of moco.")] = 8192,
    temperature: Annotated[str, typer.Option(help="τ.")] = "0.07",
    rounds: Annotated[int, typer.Option(help="How often each is timed, in turn.")] = 5,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda.", show_default="cuda where there is one")
    ] = None,
    json: Json = False,
) -> None:
    """Time the losses here, beside automatic differentiation, other libraries and bare matrix products."""
    from temperance.cli.bench import run_bench

    run_bench(loss, rows, width, queue, temperature, rounds, device, as_json=json)


@app.command(epilog="Example: temperance convert --scale 20")
def convert(
    temperature: Annotated[str | None, typer.Option(help="τ.")] = None,
    scale: Annotated[str | None, typer.Option(help="1/τ, such as sentence-transformers'.")] = None,
    log_scale: Annotated[
        str | None, typer.Option(help="log(1/τ), such as CLIP's learned parameter.")
    ] = None,
    base_temperature: Annotated[
        str | None, typer.Option(help="τ₀ of SupContrast: say what it multiplies the loss by.")
    ] = None,
    json: Json = False,
) -> None:
    """Say what a temperature is called elsewhere, and what to type there."""
    from temperance.cli.convert import run_convert

    run_convert(temperature, scale, log_scale, base_temperature, as_json=json)


@data_app.command("list", epilog="Example: temperance data list")
def list_data(json: Json = False) -> None:
    """List what can be trained on."""
    from temperance.cli.data import run_list

    run_list(as_json=json)


@data_app.command("show", epilog="Example: temperance data show cifar10 --views simclr")
def show_data(
    data: Data = None,
    views: Annotated[
        str, typer.Option(help="default, simclr, moco-v2, crop or textured.")
    ] = "default",
    count: Annotated[int, typer.Option(help="Images on the sheet.")] = 32,
    seed: Annotated[int, typer.Option(help="Of the images and their views.")] = 0,
    image_size: ImageSize = None,
    root: Root = None,
    out: Out = None,
    json: Json = False,
) -> None:
    """Show images beside their two augmented views: what the model sees."""
    from temperance.cli.data import run_show

    run_show(data, views, count, seed, image_size, root, out, as_json=json)
