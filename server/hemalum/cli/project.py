"""`hemalum project`: whole QuPath projects."""

from __future__ import annotations

import click

from hemalum.cli.main import with_help
from hemalum.cli.options import OVERWRITE, annotated, segmenting_whole


class ProjectGroup(click.Group):
    """`improve` is the command of that name, which comes with the training package."""

    def list_commands(self, ctx):
        return [*super().list_commands(ctx), *(entry.name for entry in self._joined())]

    def get_command(self, ctx, name):
        return super().get_command(ctx, name) or next(
            (with_help(entry.load()) for entry in self._joined() if entry.name == name), None
        )

    def _joined(self):
        from importlib.metadata import entry_points

        return entry_points(group="hemalum.commands", name="improve")


@click.group(cls=ProjectGroup)
def project():
    """Work on whole QuPath projects, with QuPath and paquo where they are installed, otherwise without.

    Only `segment` changes a project, where QuPath puts the nuclei in; a copy of what it changes is kept.
    """


@project.command()
@click.argument("path", metavar="PROJECT.qpproj", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option(
    "--qupath", is_flag=True, help="Count objects and classes in QuPath's own data, by QuPath (extra `projects`)."
)
def info(path, as_json, qupath):
    """List a project's images: found, moved, missing or refused, and why."""
    from hemalum.cli.common import echo_json
    from hemalum.projects.plain import read_project

    found = read_project(path)
    if qupath:
        from hemalum.projects.with_qupath import counts

        counted = counts(found.path)
        for entry in found.entries:
            entry.objects = counted.get(entry.id, {})
    if as_json:
        content = {"project": str(found.path), "version": found.version, "notices": found.notices}
        echo_json({**content, "images": [entry.record() for entry in found.entries]})
        return
    click.echo(f"{found.path}: QuPath {found.version}, {len(found.entries)} images")
    for notice in found.notices:
        click.echo(notice)
    for entry in found.entries:
        size = "{}×{}".format(*entry.size) if entry.size else "size unknown"
        mpp = f"{entry.mpp:.4f} µm/px" if entry.mpp else "no resolution"
        data = "".join(f", {count} {kind}" for kind, count in entry.objects.items())
        click.echo(
            f"  {entry.name}: {entry.state}, {size}, {mpp}{data}" + (f": {entry.reason}" if entry.reason else "")
        )
        if entry.state == "moved":
            click.echo(f"    now {entry.path}")


@project.command()
@click.argument("path", metavar="PROJECT.qpproj", type=click.Path())
@click.option("-o", "--output", type=click.Path(), help="Folder of the job; `hemalum` beside the project by default.")
@click.option(
    "--tries", type=click.IntRange(1, 20), default=3, show_default=True, help="How often an image that fails is tried."
)
@click.option(
    "--insert/--no-insert",
    default=None,
    help="Put the nuclei into the project by QuPath; by default where QuPath and paquo are found.",
)
@OVERWRITE
@segmenting_whole
def segment(path, output, tries, insert, overwrite, **options):
    """Find the nuclei of every image, as a job that goes on where it was stopped, and put them into the project.

    Images that only QuPath reads as the project has them (rotated, cropped, its own formats) are segmented by QuPath
    with Hemalum's extension.  Without QuPath scripts are written that do so later.
    """
    from functools import partial
    from pathlib import Path

    from hemalum.cli.job import manifest_of, work
    from hemalum.projects.plain import read_project
    from hemalum.projects.segment import segment as segment_project

    segment_project(
        read_project(path),
        Path(output) if output else None,
        insert,
        overwrite=overwrite,
        new_manifest=lambda: manifest_of([], options, tries),
        work=work,
        say=click.echo,
        warn=partial(click.echo, err=True),
    )


@project.command()
@click.argument("path", metavar="PROJECT.qpproj|LIST.csv", type=click.Path())
@click.option("-o", "--output", required=True, type=click.Path(), help="Folder of the training set; must not exist.")
@click.option("--mpp", default=0.25, show_default=True, type=click.FloatRange(0.05, 4), help="µm per pixel of the set.")
@annotated
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, nothing else.")
def export(path, output, annotations, mpp, patient_key, patient_pattern, validation, unlabelled, as_json):
    """Write annotated slides as a training set.

    Draw an annotation of class Complete around tissue in which every nucleus is annotated: only what lies inside is
    exported.  LIST.csv has the columns image, annotations (GeoJSON) and, where wanted, patient and mpp; or it is the
    images.csv of QuPath's "Export training regions".
    """
    from hemalum.cli.common import echo_json
    from hemalum.projects.export import export as write
    from hemalum.projects.sources import sources_of

    with sources_of(
        path, annotations, patient_key, patient_pattern, lambda text: click.echo(text, err=True)
    ) as sources:
        report = write(sources, output, mpp, validation, unlabelled, lambda text: None if as_json else click.echo(text))
    if as_json:
        echo_json(report)
        return
    held = ", ".join(report["validation"]) or "nothing"
    click.echo(f"{report['images']} images, {report['nuclei']} nuclei → {output}; kept for validation: {held}")
    for rule, count in report["counts"].items():
        if count:
            click.echo(f"  {rule}: {count}")
