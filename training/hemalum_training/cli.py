"""`hemalum train …`: wiring only, heavy imports inside commands."""

from __future__ import annotations

import os
from pathlib import Path

import click

_config = click.argument("config", type=click.Path(path_type=Path, dir_okay=False))
_data = click.option("--data", type=click.Path(path_type=Path, file_okay=False), default=Path("data"),
                     show_default=True, help="Folder that holds the sets the configuration names.")
_out = click.option("-o", "out", type=click.Path(path_type=Path),
                    help="Folder of the run; the default is runs/<configuration>.")


def _common(function):
    return _config(_data(_out(function)))


def _torch():
    """PyTorch, without what its exporter says to its developers."""
    import warnings

    import timm  # noqa: F401
    import torch

    warnings.simplefilter("ignore", torch.jit.TracerWarning)
    return torch


def _checked(context, parameter, device: str) -> str:
    from hemalum.errors import UsageError

    torch = _torch()
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise UsageError(f"device {device} cannot be used here; name cpu, or cuda where PyTorch finds a GPU.") from None
    return device


def _threads(context, parameter, count: int | None) -> None:
    if count:
        _torch().set_num_threads(count)


_device = click.option("--device", default="cpu", show_default=True, callback=_checked,
                       help="A torch device, for instance cuda.")
_cores = click.option("--threads", type=click.IntRange(min=1), callback=_threads, expose_value=False,
                      help="CPU threads; all cores by default.")


def _training(function):
    init = click.option("--init", metavar="MODEL", help="Begin from a model (id or folder) or from a run's weights.pt.")
    return _common(_cores(_device(init(function))))


def _run(config: Path, out: Path | None, alone: bool = True):
    """The configuration and the run's folder.

    No other command works in it meanwhile where this one is to be `alone`.
    """
    from hemalum.errors import NotWritable
    from hemalum.lock import JobLock

    _torch()
    from hemalum_training.config.config import load_config

    loaded = load_config(config)
    out = out or Path("runs") / loaded.name
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotWritable(f"{out} cannot be written ({error.strerror}); choose another folder with -o") from None
    if alone and int(os.environ.get("RANK", 0)) == 0:     # the processes of `torchrun` work together
        click.get_current_context().with_resource(JobLock(out))
    return loaded, out


class Steps(click.Group):
    """Whatever library meets a full disk, it is said so."""

    def invoke(self, context):
        from hemalum.errors import DiskFull, HemalumError

        try:
            return super().invoke(context)
        except (HemalumError, click.ClickException, click.exceptions.Exit):
            raise
        except Exception as error:
            from hemalum_training.store import out_of_space

            if not out_of_space(error):
                raise
            raise DiskFull("no space left; free some and run again, what was finished before is whole") from error


@click.group(cls=Steps)
def train():
    """Make tiles, train teacher and student, evaluate and export a model.  Every step goes on where it was stopped."""


@train.command()
@_common
def tiles(config, data, out):
    """Cut the unlabelled sets into tiles and sort them into the domains X and Y."""
    from hemalum_training.data.tiles import make_tiles

    loaded, out = _run(config, out)
    click.echo(f"tiles: {make_tiles(loaded, data, out, log=click.echo)}")


@train.command(name="pseudo-label")
@_common
@click.option("--init", metavar="MODEL",
              help="The teacher, where OUT/teacher is not trained: a model (id or folder) or a weights.pt.")
@_cores
@_device
@click.option("--compare", is_flag=True,
              help="Only compare the rules, on labelled images that the teacher never saw; writes OUT/rules.json.")
@click.option("--folds", type=click.IntRange(2),
              help="With --compare: train so many teachers, each without a part of the labelled images.")
def pseudo_label(config, data, out, init, device, compare, folds):
    """Label the tiles with the teacher and keep those that the rule of [pseudo] trusts.

    With [soft] also the labelled images, by the teacher's averaged maps; with [soft] alone nothing else.
    """
    from hemalum_training.pseudo.labels import make_pseudo_labels
    from hemalum_training.pseudo.soft_maps import make_soft_maps
    from hemalum_training.studies.rules import compare_rules

    loaded, out = _run(config, out)
    if compare or folds:
        compare_rules(loaded, data, out, init=init, device=device, log=click.echo, folds=folds or 0)
        return
    if loaded.soft is not None:
        click.echo(f"soft maps: {make_soft_maps(loaded, data, out, init, device=device, log=click.echo)}")
    if loaded.pseudo is None and loaded.soft is not None:
        return
    click.echo(f"pseudo labels: {make_pseudo_labels(loaded, out, init, device, log=click.echo)}")


@train.command()
@_training
def teacher(config, data, out, init, device):
    """Train the teacher, AttCycle, on the labelled images of both domains."""
    from hemalum_training.loops.method import train_method

    loaded, out = _run(config, out)
    weights = train_method("teacher", loaded, data, out, device=device, init=init, log=click.echo)
    click.echo(f"weights: {weights}")


@train.command()
@_training
def student(config, data, out, init, device):
    """Train the student: TransCycle, or without a [method] table in CONFIG its segmentation alone."""
    loaded, out = _run(config, out)
    if loaded.method is None:
        from hemalum_training.loops.supervised import train_supervised

        weights = train_supervised(loaded, data, out, device, init, log=click.echo)
    else:
        from hemalum_training.loops.method import train_method

        weights = train_method("student", loaded, data, out, device=device, init=init, log=click.echo)
    click.echo(f"weights: {weights}")


@train.command()
@_common
@_cores
def export(config, data, out):
    """Write the model package of a trained run into OUT/package, thresholds chosen on the validation images."""
    from hemalum_training.package.make import make_package

    loaded, out = _run(config, out)
    click.echo(f"package: {make_package(loaded, data, out, log=click.echo)}")


@train.command()
@_common
@click.option("--overlays", is_flag=True, help="Also write pictures with reference and found outlines.")
@click.option("--beside", type=click.Path(path_type=Path, exists=True, file_okay=False), multiple=True,
              help="Another run, whose student is put into the source's table, too; can be given several times.")
@_cores
@_device
def evaluate(config, data, out, overlays, beside, device):
    """Score the package of a run on the validation and zero-shot images; with [method] also print the source's table.

    Of an experiment, print the table of its arms again.
    """
    from hemalum_training.package.make import report_scores
    from hemalum_training.scoring.patent_table import evaluate_arms

    loaded, out = _run(config, out, alone=False)
    if (table := out / f"{loaded.name}.md").is_file():
        click.echo(table.read_text(encoding="utf-8"))
        return
    report_scores(loaded, data, out, overlays, log=click.echo)
    if loaded.method is not None:
        evaluate_arms(loaded, data, out, device, log=click.echo, beside=beside)


@train.command()
@_common
def report(config, data, out):
    """Write OUT/report.html: loss curves, samples, pseudo labels with reasons, scores worst first."""
    from hemalum_training.report.page import write_report

    loaded, out = _run(config, out, alone=False)
    write_report(loaded, data, out, log=click.echo)


@train.command()
@_common
@_cores
def distil(config, data, out):
    """Fit the colour function behind --stain learned, OUT/learned_stain.npz, to the teacher that [normalizer] names.

    The teacher is a transport of colours between stains, or with `teacher = "generator"` a generator that is trained
    first.
    """
    from hemalum_training.stain.distil import distil_normalizer

    loaded, out = _run(config, out)
    click.echo(f"learned stain: {distil_normalizer(loaded, data, out, log=click.echo)}")


@train.command(name="scanner-pairs")
@_common
@click.option("--model", default="nuclei", show_default=True, metavar="ID",
              help="Model whose nuclei before and after are compared.")
@_cores
def scanner_pairs(config, data, out, model):
    """Compare learned and classical normalizations on pairs of one tissue from two scanners."""
    from hemalum_training.stain.scanner_pairs import compare_on_pairs

    loaded, out = _run(config, out)
    compare_on_pairs(loaded, data, out, model, log=click.echo)


@train.command()
@_common
@_cores
@_device
def experiment(config, data, out, device):
    """Compare teacher, student and student with pseudo labels over several seeds, at equal optimizer steps."""
    from hemalum_training.studies.arms import run_experiment

    loaded, out = _run(config, out)
    click.echo(f"comparison: {run_experiment(loaded, data, out, device, log=click.echo)}")


@train.command(name="all")
@_training
def everything(config, data, out, init, device):
    """Every step of CONFIG, from a folder of images to a model package: tiles, teacher, pseudo-label, student, export,
    evaluate, report.
    """
    from hemalum_training.stages import run_all

    loaded, out = _run(config, out)
    click.echo(f"package: {run_all(loaded, data, out, device, init, log=click.echo)}")
