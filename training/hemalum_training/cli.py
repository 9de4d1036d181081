"""`hemalum train …`: wiring only, heavy imports inside commands."""

from __future__ import annotations

from pathlib import Path

import click


def _common(function):
    function = click.option("-o", "out", type=click.Path(path_type=Path), help="Folder of the run; the default is runs/<configuration>.")(function)
    function = click.option("--data", type=click.Path(path_type=Path, file_okay=False), default=Path("data"), show_default=True,
                            help="Folder that holds the sets the configuration names.")(function)
    return click.argument("config", type=click.Path(path_type=Path, dir_okay=False))(function)


def _run(config: Path, out: Path | None):
    from .config import load_config

    loaded = load_config(config)
    return loaded, out or Path("runs") / loaded.name


def _threads(count: int | None) -> None:
    import torch

    if count:
        torch.set_num_threads(count)


@click.group()
def train():
    """Make tiles, train teacher and student, evaluate and export a model.  Every step goes on where it was stopped."""


@train.command()
@_common
@click.option("--init", type=click.Path(path_type=Path, exists=True), help="Begin from the weights of a run (weights.pt).")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; all cores by default.")
@click.option("--device", default="cpu", show_default=True, help="A torch device, for instance cuda.")
def student(config, data, out, init, threads, device):
    """Train the student; without a [method] table in CONFIG, from labels alone."""
    from .supervised import train_supervised

    _threads(threads)
    loaded, out = _run(config, out)
    click.echo(f"weights: {train_supervised(loaded, data, out, device, init, log=click.echo)}")


@train.command()
@_common
def export(config, data, out):
    """Write the model package of a trained run into OUT/package, thresholds chosen on the validation images."""
    from .package import make_package

    loaded, out = _run(config, out)
    click.echo(f"package: {make_package(loaded, data, out, log=click.echo)}")


@train.command()
@_common
@click.option("--overlays", is_flag=True, help="Also write pictures with reference and found outlines.")
def evaluate(config, data, out, overlays):
    """Score the package of a run on the validation and zero-shot images."""
    from .package import report_scores

    loaded, out = _run(config, out)
    report_scores(loaded, data, out, overlays, log=click.echo)


@train.command(name="all")
@_common
@click.option("--init", type=click.Path(path_type=Path, exists=True), help="Begin from the weights of a run (weights.pt).")
@click.option("--threads", type=click.IntRange(min=1))
@click.option("--device", default="cpu", show_default=True)
@click.pass_context
def everything(context, config, data, out, init, threads, device):
    """Every step of CONFIG, from a folder of images to a model package."""
    context.invoke(student, config=config, data=data, out=out, init=init, threads=threads, device=device)
    context.invoke(export, config=config, data=data, out=out)
    context.invoke(evaluate, config=config, data=data, out=out, overlays=False)
