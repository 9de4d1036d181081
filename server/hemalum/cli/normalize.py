"""`hemalum normalize`: slides or images in a reference stain, at their own size."""

from __future__ import annotations

import click

from hemalum.cli.options import OVERWRITE, SERIES
from hemalum.stain import METHODS

MOST_SAID = 20  # sentences of one input on the terminal


@click.command()
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=click.Path())
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False),
    help="Folder for the results; made if it is not there.",
)
@click.option(
    "--stain",
    "method",
    default="macenko",
    show_default=True,
    type=click.Choice(METHODS),
    help="How the stain is found and matched; learned was taught by many stains, none copies the pixels.",
)
@click.option(
    "--reference", metavar="IMAGE", type=click.Path(), help="Image whose stain is the target; else a built-in one."
)
@SERIES
@OVERWRITE
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def normalize(inputs, output, method, reference, series, overwrite, as_json):
    """Show slides or images in a reference stain.

    Each INPUT is an image, a slide, or a folder of them.  Writes DIR/<name>.png of the input's own size (above 20,000
    px a tiled, pyramidal DIR/<name>.ome.tif) and DIR/<name>.run.json.  No resolution is needed; an ICC profile is
    kept.
    """
    from hemalum.cli.common import echo_json, inputs_of, output_folder, through
    from hemalum.errors import UsageError
    from hemalum.runs import normalize as work
    from hemalum.runs.results import claimed
    from hemalum.slides import open_slide
    from hemalum.stain.estimation import REFERENCE

    paths = inputs_of(inputs)
    target = REFERENCE
    if reference is not None:
        with open_slide(reference) as slide:
            target = work.stain_of(slide, method)
        if target.note:
            raise UsageError(
                f"{reference} cannot be the reference: {target.note.split(';')[0]}; name an H&E image with tissue"
            )
    done = []
    with output_folder(output) as folder:

        def one(path) -> bool:
            with open_slide(path, series=series) as slide:
                names = [work.output_of(slide, folder).name, f"{slide.name}.run.json"]
                with claimed(folder, slide.name, names, overwrite, paths), _progress(path.name, as_json) as step:
                    made = work.normalize(slide, folder, method, target, step)
                notices = [*slide.notices]
            done.append({"input": str(path), "output": str(made.output), "failed": made.failed, "notices": notices})
            sentences = [*notices, *made.failed]
            for sentence in sentences[:MOST_SAID]:
                click.echo(f"{path.name}: {sentence}", err=True)
            if len(sentences) > MOST_SAID:
                click.echo(f"{path.name}: {len(sentences) - MOST_SAID} more are in its run.json", err=True)
            if not as_json:
                click.echo(f"{path.name} → {made.output}")
            return not made.failed

        try:
            through(paths, one)
        finally:
            if as_json:
                echo_json(done)


def _progress(name: str, quiet: bool):
    """A context that gives a function (done, total): a bar on a terminal, nothing elsewhere."""
    from contextlib import contextmanager

    @contextmanager
    def shown():
        if quiet:
            yield lambda done, total: None
            return
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        if not console.is_terminal:
            yield lambda done, total: None
            return
        with Progress(console=console) as bar:
            task = bar.add_task(name, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    return shown()
