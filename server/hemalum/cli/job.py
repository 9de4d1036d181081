"""`hemalum job`: many slides in a folder that survives being killed."""

from __future__ import annotations

from contextlib import contextmanager

import click

from hemalum.cli.options import OVERWRITE, on_cluster, segmenting


@click.group()
def job():
    """Run many slides in a job that survives being killed.

    What is finished stays finished, also inside a slide: after a kill, a power loss or a full disk, `hemalum job
    resume` goes on, and the results are those of an uninterrupted run.
    """


def work(folder, cluster=None, quiet: bool = False) -> None:
    """Go through a job with progress shown; on a Dask cluster where one is given."""
    from functools import partial

    from hemalum.cli.common import shown_progress
    from hemalum.jobs.job import work_on

    say = (lambda sentence: None) if quiet else click.echo
    warn = partial(click.echo, err=True)
    work_on(
        folder, say, lambda name: shown_progress(name, quiet, plain=cluster is not None), compute=cluster, warn=warn
    )


def manifest_of(paths, options: dict, tries: int, workers: int | None = None, scheduler: str | None = None):
    """The `Manifest` of `cli.options.segmenting`; raises `UsageError`, `UnknownModel` before any work."""
    from hemalum.cli.common import parse_mpp, parse_region
    from hemalum.jobs.manifest import manifest_of
    from hemalum.sinks import parse_formats

    mpp, region = parse_mpp(options["mpp"]), parse_region(options.get("region"))
    values = {"mpp": mpp, "region": region, "formats": parse_formats(options["formats"])}
    return manifest_of(paths, {**options, **values}, tries, workers, scheduler)


@contextmanager
def cluster_of(workers: int | None, scheduler: str | None):
    """A `Cluster` for as long as the context lasts, or None where neither is given."""
    if not workers and not scheduler:
        yield None
        return
    from hemalum.jobs.cluster import Cluster

    with Cluster(workers, scheduler, lambda sentence: click.echo(sentence, err=True)) as cluster:
        yield cluster


def once(paths, output, options: dict, as_json: bool, overwrite: bool = False) -> None:
    """A job that is not asked for: what is left of it when it has ended are the results."""
    from hemalum.cli.common import echo_json, output_folder
    from hemalum.jobs.once import finish, records, take_up

    manifest = manifest_of(paths, options, tries=1)
    with output_folder(output) as folder:
        take_up(folder, manifest, lambda sentence: click.echo(sentence, err=True), overwrite)
        try:
            finish(folder, lambda: work(folder, quiet=as_json))
        finally:
            if as_json:
                echo_json(records(folder, manifest))


@job.command()
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=click.Path())
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(),
    help="Folder of the job and its results; made if it is not there.",
)
@click.option(
    "--tries", type=click.IntRange(1, 20), default=3, show_default=True, help="How often a slide that fails is tried."
)
@OVERWRITE
@on_cluster
@segmenting
def run(inputs, output, tries, overwrite, workers, scheduler, **options):
    """Begin a job: find the nuclei of many slides or images."""
    from hemalum.cli.common import inputs_of
    from hemalum.jobs.job import begin

    manifest = manifest_of(inputs_of(inputs), options, tries, workers, scheduler)
    with cluster_of(workers, scheduler) as cluster:
        begin(output, manifest, overwrite)
        work(output, cluster)


@job.command()
@click.argument("folder", metavar="JOBDIR", type=click.Path())
@on_cluster
def resume(folder, workers, scheduler):
    """Go on with a job; slides that were set aside or done in part are tried again."""
    with cluster_of(workers, scheduler) as cluster:
        work(folder, cluster)


@job.command()
@click.argument("folder", metavar="JOBDIR", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(folder, as_json):
    """Tell how a job stands; live on a terminal while it runs."""
    import time

    from hemalum.cli.common import echo_json
    from hemalum.jobs.status import status as read

    if as_json:
        echo_json(read(folder))
        return
    from rich.console import Console

    console = Console()
    found = read(folder)
    if console.is_terminal and found["state"] == "running":
        from rich.live import Live

        with Live(_table(found, console.height - 8), console=console, refresh_per_second=2) as live:
            while found["state"] == "running":
                time.sleep(1)
                found = read(folder)
                live.update(_table(found, console.height - 8))
        return
    console.print(_table(found))


def _table(found: dict, most: int | None = None):
    """A table of the slides; of `most` rows, those that matter now."""
    from rich.table import Table

    who, counts, slides = found["holder"], found["counts"], found["slides"]
    title = f"{found['job']}: {found['state']}" + (f" (process {who.get('pid')} on {who.get('host')})" if who else "")
    title += f", {found['nuclei']:,} nuclei\n" + ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    table = Table("slide", "status", "tiles", "nuclei", "s", "reason", title=title, title_justify="left")
    if most is not None and len(slides) > most:
        first = ("running", "interrupted", "failed", "set aside", "partly", "waiting", "done")
        slides = sorted(slides, key=lambda slide: first.index(slide["status"]))[: max(1, most)]
        table.caption = f"and {len(found['slides']) - len(slides)} more"
    for slide in slides:
        tiles = "" if slide["tiles"] is None else f"{slide['tiles_done']}/{slide['tiles']}"
        values = slide["stem"], slide["status"], tiles, slide["nuclei"], slide["seconds"], slide["reason"]
        table.add_row(*("" if value is None else str(value) for value in values))
    return table


@job.command()
@click.argument("folder", metavar="JOBDIR", type=click.Path())
@click.option("-o", "--output", type=click.Path(), help="Where to write it; JOBDIR/report.html by default.")
def report(folder, output):
    """Write one self-contained HTML page about a job."""
    from pathlib import Path

    from hemalum.files import commit_text
    from hemalum.jobs.report import page

    path = Path(output) if output else Path(folder) / "report.html"
    commit_text(path, page(folder), waits=())
    click.echo(str(path))
