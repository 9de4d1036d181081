"""`hemalum train …`: wiring only, heavy imports inside commands."""

from __future__ import annotations

from pathlib import Path

import click


def _common(function):
    function = click.option("-o", "out", type=click.Path(path_type=Path), help="Folder of the run; the default is runs/<configuration>.")(function)
    function = click.option("--data", type=click.Path(path_type=Path, file_okay=False), default=Path("data"), show_default=True,
                            help="Folder that holds the sets the configuration names.")(function)
    return click.argument("config", type=click.Path(path_type=Path, dir_okay=False))(function)


def _training(function):
    function = click.option("--device", default="cpu", show_default=True, help="A torch device, for instance cuda.")(function)
    function = click.option("--threads", type=click.IntRange(min=1), help="CPU threads; all cores by default.")(function)
    function = click.option("--init", metavar="MODEL", help="Begin from a model (id or folder) or from a run's weights.pt.")(function)
    return _common(function)


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
def tiles(config, data, out):
    """Cut the unlabelled sets into tiles and sort them into the domains X and Y."""
    from .tiles import make_tiles

    loaded, out = _run(config, out)
    click.echo(f"tiles: {make_tiles(loaded, data, out, log=click.echo)}")


@train.command(name="pseudo-label")
@_common
@click.option("--init", metavar="MODEL", help="The teacher, where OUT/teacher is not trained: a model (id or folder) or a weights.pt.")
@click.option("--device", default="cpu", show_default=True, help="A torch device, for instance cuda.")
@click.option("--compare", is_flag=True, help="Only compare the rules, on labelled images that the teacher never saw; writes OUT/rules.json.")
def pseudo_label(config, data, out, init, device, compare):
    """Label the tiles with the teacher and keep those that the rule of [pseudo] trusts."""
    from .pseudo_labels import make_pseudo_labels
    from .rule_comparison import compare_rules

    loaded, out = _run(config, out)
    if compare:
        compare_rules(loaded, data, out, init, device, log=click.echo)
        return
    click.echo(f"pseudo labels: {make_pseudo_labels(loaded, out, init, device, log=click.echo)}")


@train.command()
@_training
def teacher(config, data, out, init, threads, device):
    """Train the teacher, AttCycle, on the labelled images of both domains."""
    from .attcycle import train_teacher

    _threads(threads)
    loaded, out = _run(config, out)
    click.echo(f"weights: {train_teacher(loaded, data, out, device, init, log=click.echo)}")


@train.command()
@_training
def student(config, data, out, init, threads, device):
    """Train the student: TransCycle, or without a [method] table in CONFIG its segmentation alone."""
    _threads(threads)
    loaded, out = _run(config, out)
    if loaded.method is None:
        from .supervised import train_supervised as train_student
    else:
        from .transcycle import train_student
    click.echo(f"weights: {train_student(loaded, data, out, device, init, log=click.echo)}")


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
    """Score the package of a run on the validation and zero-shot images; with [method] also print the source's table."""
    from .package import report_scores
    from .source_table import evaluate_arms

    loaded, out = _run(config, out)
    report_scores(loaded, data, out, overlays, log=click.echo)
    if loaded.method is not None:
        evaluate_arms(loaded, data, out, log=click.echo)


@train.command()
@_common
def report(config, data, out):
    """Write OUT/report.html: loss curves, samples, pseudo labels with reasons, scores worst first."""
    from .report import write_report

    loaded, out = _run(config, out)
    write_report(loaded, data, out, log=click.echo)


@train.command()
@_common
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; all cores by default.")
def distil(config, data, out, threads):
    """Train the generator of [normalizer] and distil it into OUT/learned_stain.npz, the function behind --stain learned."""
    from .distil import distil as work

    _threads(threads)
    loaded, out = _run(config, out)
    click.echo(f"learned stain: {work(loaded, data, out, log=click.echo)}")


@train.command(name="scanner-pairs")
@_common
@click.option("--model", default="nuclei", show_default=True, metavar="ID", help="Model whose nuclei before and after are compared.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; all cores by default.")
def scanner_pairs(config, data, out, model, threads):
    """Compare learned and classical normalizations on pairs of one tissue from two scanners."""
    from .scanner_pairs import run_experiment

    _threads(threads)
    loaded, out = _run(config, out)
    run_experiment(loaded, data, out, model, log=click.echo)


@train.command()
@_common
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; all cores by default.")
@click.option("--device", default="cpu", show_default=True, help="A torch device, for instance cuda.")
def experiment(config, data, out, threads, device):
    """Compare teacher, student and student with pseudo labels over several seeds, at equal optimizer steps."""
    from .experiment import run_experiment

    _threads(threads)
    loaded, out = _run(config, out)
    click.echo(f"comparison: {run_experiment(loaded, data, out, device, log=click.echo)}")


@train.command(name="all")
@_training
def everything(config, data, out, init, threads, device):
    """Every step of CONFIG, from a folder of images to a model package: tiles, teacher, pseudo-label, student, export, evaluate, report."""
    from .stages import run_all

    _threads(threads)
    loaded, out = _run(config, out)
    click.echo(f"package: {run_all(loaded, data, out, device, init, log=click.echo)}")
