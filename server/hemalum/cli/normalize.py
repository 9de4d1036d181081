"""`hemalum normalize`: slides or images in a reference stain, at their own size."""

from __future__ import annotations

import click


@click.command()
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=click.Path())
@click.option("-o", "--output", required=True, type=click.Path(file_okay=False), help="Folder for the results; made if it is not there.")
@click.option(
    "--stain",
    "method",
    default="macenko",
    show_default=True,
    type=click.Choice(["macenko", "vahadane", "reinhard", "learned", "none"]),
    help="How the stain is found and matched; learned was taught by many stains, none copies the pixels.",
)
@click.option("--reference", metavar="IMAGE", type=click.Path(), help="Image whose stain is the target; else a built-in one.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def normalize(inputs, output, method, reference, as_json):
    """Show slides or images in a reference stain.

    Each INPUT is an image, a slide, or a folder of them.  Writes DIR/<name>.png of the input's own size (above 20,000 px a tiled,
    pyramidal DIR/<name>.ome.tif) and DIR/<name>.run.json.  No resolution is needed.
    """
    import errno
    import json
    from pathlib import Path

    from hemalum import normalize as work
    from hemalum.cli.common import writable
    from hemalum.errors import DiskFull, HemalumError, PartlyFailed, RunLost, UnreadableImage, UsageError
    from hemalum.slides import images_in, open_slide
    from hemalum.stain import REFERENCE

    paths = images_in(inputs)
    target = REFERENCE
    if reference is not None:
        with open_slide(reference) as slide:
            target = work.stain_of(slide, method)
        if target.note:
            raise UsageError(f"{reference} cannot be the reference: {target.note.split(';')[0]}; name an H&E image with tissue")
    folder = writable(Path(output))

    done, failures, holes = [], [], 0
    for path in paths:
        try:
            with open_slide(path) as slide:
                result = work.output_of(slide, folder)
                if result.exists() and result.samefile(path):
                    raise UsageError(f"{path} would be overwritten by its own result; choose another folder with -o")
                with _progress(path.name, as_json) as step:
                    result = work.normalize(slide, folder, method, target, step)
                notices = [*slide.notices]
        except RunLost:
            raise
        except HemalumError as error:
            failures.append(error)
            click.echo(f"hemalum: {error}", err=True)
            continue
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise DiskFull(f"{folder} is full; free some space and run again ({len(done)} of {len(paths)} are finished)") from None
            raise RunLost(f"{folder} cannot be written any more ({error.strerror}); check the disk and run again") from None
        holes += bool(result.failed)
        done.append({"input": str(path), "output": str(result.output), "failed": result.failed, "notices": notices})
        for sentence in [*notices, *result.failed]:
            click.echo(f"{path.name}: {sentence}", err=True)
    if as_json:
        click.echo(json.dumps(done, indent=1, ensure_ascii=False))
    if not done:
        if len(failures) == 1:
            raise click.exceptions.Exit(failures[0].exit_code)  # already said
        raise UnreadableImage(f"none of the {len(failures)} inputs can be used; see the sentences above")
    if failures or holes:
        raise PartlyFailed(f"{len(failures)} of {len(paths)} inputs failed and {holes} have areas that cannot be decoded; the rest is done")


def _progress(name: str, quiet: bool):
    """A context that gives a function (done, total): a bar on a terminal, one plain line at the end elsewhere."""
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
            click.echo(f"{name}: done", err=True)
            return
        with Progress(console=console) as bar:
            task = bar.add_task(name, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    return shown()
