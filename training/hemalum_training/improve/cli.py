"""`hemalum improve`, also `hemalum project improve`: wiring only, heavy imports inside the command."""

from __future__ import annotations

from pathlib import Path

import click

from hemalum.cli.options import annotated


@click.command()
@click.argument("path", metavar="PROJECT.qpproj|LIST.csv", type=click.Path())
@click.option("-o", "--output", type=click.Path(),
              help="Folder of the improvement; `improve` beside the project by default.")
@annotated
@click.option("--model", "model_id", default="nuclei", show_default=True, metavar="ID",
              help="Model to begin from, and to compare with.")
@click.option("--models", "folders", multiple=True, type=click.Path(), metavar="DIR",
              help="Folder with further models; may be repeated.")
@click.option("--name", metavar="ID", help="Id of the new model; the name of the project's folder by default.")
@click.option("--steps", default=400, show_default=True, type=click.IntRange(4, 1_000_000), help="Training steps.")
@click.option("--no-pseudo", is_flag=True, help="Learn from the corrected nuclei alone.")
@click.option("--full", metavar="CONFIG", type=click.Path(path_type=Path, dir_okay=False, exists=True),
              help="Train all of a configuration of `hemalum train`, with the project as a further set; hours.")
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), default=Path("data"), show_default=True,
              help="Folder that holds the sets of --full.")
@click.option("--plan", "only_plan", is_flag=True, help="Show the plan and stop.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--no-install", is_flag=True, help="Leave a better model in the folder.")
@click.option("--device", default="cpu", show_default=True, help="A torch device, for instance cuda.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; all cores by default.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON, nothing else.")
def improve(path, output, annotations, patient_key, patient_pattern, validation, unlabelled, model_id, folders, name,
            steps, no_pseudo, full, data, only_plan, yes, no_install, device, threads, as_json):
    """Make a better model from corrected nuclei, and say whether it is better.

    Exports the Complete regions, fine-tunes the model, judges it on regions kept apart, and installs it if it is
    better.  Killed or stopped, the same command goes on.
    """
    import importlib.util
    import json
    import re
    import sys

    from hemalum.compiled import cores
    from hemalum.errors import UsageError
    from hemalum.models import find
    from hemalum.projects.sources import sources_of

    if importlib.util.find_spec("torch") is None:
        raise UsageError("training needs PyTorch; install it with `pip install hemalum[training]`")
    say = (lambda text: click.echo(text, err=True)) if as_json else click.echo
    folder = Path(path).resolve() if Path(path).is_dir() else Path(path).resolve().parent
    base = find(model_id, folders)
    name = name or re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-") or "own"

    import warnings

    import onnxruntime
    import torch

    warnings.simplefilter("ignore")                             # what the exporters say is for their developers
    onnxruntime.set_default_logger_severity(3)
    from hemalum_training.improve.loop import improve as run
    from hemalum_training.improve.plan import Request, fine_tuning, fix, make_plan

    torch.set_num_threads(threads or cores())
    with sources_of(path, annotations, patient_key, patient_pattern, say) as sources:
        request = Request(
            sources=sources,
            base=base,
            name=name,
            schedule=fine_tuning(steps),
            validation=validation,
            unlabelled=unlabelled,
            pseudo=not no_pseudo,
            full=full,
            data=data,
        )
        out = Path(output) if output else folder / "improve"
        fix(request, out, write=False)
        for line in make_plan(request, out, device).lines():
            say(line)
        if only_plan:
            return
        if not yes and sys.stdin.isatty():
            click.confirm("begin?", default=True, abort=True)
        done = run(request, out, device=device, keep_out=no_install, say=say)
        if as_json:
            installed = str(done.installed.folder) if done.installed else None
            verdict = {**done.verdict, "package": str(done.package), "installed": installed}
            click.echo(json.dumps(verdict, indent=1, ensure_ascii=False))
