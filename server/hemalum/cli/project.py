"""`hemalum project`: whole QuPath projects."""

from __future__ import annotations

import click

from hemalum.cli.options import TAKEN, annotated
from hemalum.cli.segment import segment as segment_command


class ProjectGroup(click.Group):
    """`improve` is the command of that name, which comes with the training package."""

    def list_commands(self, ctx):
        return [*super().list_commands(ctx), *(entry.name for entry in self._joined())]

    def get_command(self, ctx, name):
        return super().get_command(ctx, name) or next((entry.load() for entry in self._joined() if entry.name == name), None)

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
@click.option("--qupath", is_flag=True, help="Count objects and classes in QuPath's own data, by QuPath (extra `projects`).")
def info(path, as_json, qupath):
    """List a project's images: found, moved, missing or refused, and why."""
    import json

    from hemalum.projects.plain import read_project

    found = read_project(path)
    if qupath:
        from hemalum.projects.with_qupath import counts

        counted = counts(found.path)
        for entry in found.entries:
            entry.objects = counted.get(entry.id, {})
    if as_json:
        content = {"project": str(found.path), "version": found.version, "notices": found.notices}
        click.echo(json.dumps({**content, "images": [entry.record() for entry in found.entries]}, indent=1, ensure_ascii=False))
        return
    click.echo(f"{found.path}: QuPath {found.version}, {len(found.entries)} images")
    for notice in found.notices:
        click.echo(notice)
    for entry in found.entries:
        size = "{}×{}".format(*entry.size) if entry.size else "size unknown"
        mpp = f"{entry.mpp:.4f} µm/px" if entry.mpp else "no resolution"
        data = "".join(f", {count} {kind}" for kind, count in entry.objects.items())
        click.echo(f"  {entry.name}: {entry.state}, {size}, {mpp}{data}" + (f": {entry.reason}" if entry.reason else ""))
        if entry.state == "moved":
            click.echo(f"    now {entry.path}")


@project.command()
@click.argument("path", metavar="PROJECT.qpproj", type=click.Path())
@click.option("-o", "--output", type=click.Path(), help="Folder of the job; `hemalum` beside the project by default.")
@click.option("--tries", type=click.IntRange(1, 20), default=3, show_default=True, help="How often an image that fails is tried.")
@click.option("--insert/--no-insert", default=None, help="Put the nuclei into the project by QuPath; by default where QuPath and paquo are found.")
def segment(path, output, tries, insert, **options):
    """Find the nuclei of every image, as a job that goes on where it was stopped, and put them into the project.

    Images that only QuPath reads as the project has them (rotated, cropped, its own formats) are segmented by QuPath with Hemalum's
    extension.  Without QuPath scripts are written that do so later.
    """
    from pathlib import Path

    from hemalum.cli.job import manifest_of, work
    from hemalum.errors import PartlyFailed, UsageError
    from hemalum.jobs.job import begin
    from hemalum.jobs.manifest import NAME, Manifest
    from hemalum.lock import JobLock
    from hemalum.projects import streamed, with_qupath
    from hemalum.projects.plain import read_project
    from hemalum.projects.segment import add, insert_new, unique, write_script

    found = read_project(path)
    if not found.entries:
        raise UsageError(f"{found.path} lists no images; add some in QuPath and save the project")
    folder = Path(output) if output else found.path.parent / "hemalum"
    for notice in found.notices:
        click.echo(notice, err=True)
    insert = with_qupath.found() if insert is None else insert
    usable = [entry for entry in found.entries if entry.state in ("found", "moved") and streamed.readable(entry)]
    others = [entry for entry in found.entries if entry.by_qupath]
    failed = []
    for entry in found.entries:
        if insert and entry in others:
            click.echo(f"{entry.name}: left to QuPath: {entry.reason}", err=True)
        elif entry not in usable:
            failed.append(entry.name)
            click.echo(f"{entry.name}: left out: {entry.reason}", err=True)
    if not usable and not others:
        raise UsageError(f"none of the {len(found.entries)} images of {found.path} can be segmented; the reasons are above")
    if (folder / NAME).exists():
        manifest = Manifest.read(folder)
        click.echo(f"going on with the job in {folder}, with the options it was begun with")
        if new := add(manifest, usable):
            with JobLock(folder):
                manifest.write(folder)
            click.echo(f"images that joined the project since are done, too: {new}")
    else:
        manifest = manifest_of([], options, tries)
        if "geojson" not in manifest.options["formats"]:
            raise UsageError("a project needs the format geojson, which QuPath imports; add it to --format")
        add(manifest, usable)
        begin(folder, manifest)
    script = write_script(folder, manifest)
    stems = [entry["stem"] for entry in manifest.inputs]
    names = dict(zip([entry.id for entry in others], unique([entry.name for entry in others], stems), strict=True))
    in_qupath = streamed.write_script(folder, found.path, names, manifest.options, manifest.model["id"]) if names else None
    try:
        if manifest.inputs:
            work(folder)
    except PartlyFailed as error:
        failed.append(str(error))
        click.echo(str(error), err=True)
    finally:
        if insert:
            for sentence in insert_new(found.path, folder, manifest, click.echo):
                failed.append(sentence)
                click.echo(sentence, err=True)
        elif manifest.inputs:
            click.echo(f"to bring the nuclei into QuPath: QuPath script -s -p {found.path} {script}")
    if in_qupath is not None and insert:
        for sentence in streamed.run(in_qupath, names, [manifest.model["folder"]], click.echo):
            failed.append(sentence)
            click.echo(sentence, err=True)
    elif in_qupath is not None:
        click.echo(f"for the {len(names)} images that only QuPath reads, with its Hemalum extension: QuPath script {in_qupath}")
    if not manifest.inputs and not insert:
        raise UsageError(f"Python can segment none of the {len(found.entries)} images of {found.path}; QuPath can, with the script above")
    if failed:
        raise PartlyFailed(f"not all of the {len(found.entries)} images are done, the rest is; the reasons are above")


segment.params += [parameter for parameter in segment_command.params if parameter.name in TAKEN - {"region"}]


@project.command()
@click.argument("path", metavar="PROJECT.qpproj|LIST.csv", type=click.Path())
@click.option("-o", "--output", required=True, type=click.Path(), help="Folder of the training set; must not exist.")
@click.option("--mpp", default=0.25, show_default=True, type=click.FloatRange(0.05, 4), help="µm per pixel of the set.")
@annotated
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, nothing else.")
def export(path, output, annotations, mpp, patient_key, patient_pattern, validation, unlabelled, as_json):
    """Write annotated slides as a training set.

    Draw an annotation of class Complete around tissue in which every nucleus is annotated: only what lies inside is exported.  LIST.csv
    has the columns image, annotations (GeoJSON) and, where wanted, patient and mpp; or it is the images.csv of QuPath's "Export training
    regions".
    """
    import json

    from hemalum.projects.export import export as write
    from hemalum.projects.sources import sources_of

    with sources_of(path, annotations, patient_key, patient_pattern, lambda text: click.echo(text, err=True)) as sources:
        report = write(sources, output, mpp, validation, unlabelled, lambda text: None if as_json else click.echo(text))
    if as_json:
        click.echo(json.dumps(report, indent=1, ensure_ascii=False))
        return
    held = ", ".join(report["validation"]) or "nothing"
    click.echo(f"{report['images']} images, {report['nuclei']} nuclei → {output}; kept for validation: {held}")
    for rule, count in report["counts"].items():
        if count:
            click.echo(f"  {rule}: {count}")
