"""`hemalum segment`: the nuclei of slides or images, in this process or by a server."""

from __future__ import annotations

from contextlib import contextmanager

import click

from hemalum.cli.options import OVERWRITE, OWN, segmenting


@click.command()
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=click.Path())
@click.option(
    "-o", "--output", required=True, type=click.Path(), help="Folder for the results; made if it is not there."
)
@segmenting
@click.option("--server", metavar="HOST:PORT", help="Let this server do it; the pixels are read here.")
@click.option("--token-file", type=click.Path(), help="File with the server's token.")
@click.option("--ca", type=click.Path(), help="Certificate authority of the server (ca.crt), for TLS.")
@OVERWRITE
@click.option("--json", "as_json", is_flag=True, help="Print the run records as JSON, nothing else.")
def segment(inputs, output, server, token_file, ca, overwrite, as_json, **options):
    """Find the nuclei of slides or images.

    Each INPUT is an image, a slide, or a folder of them.  Writes DIR/<name>.geojson for QuPath (and what --format
    names) and DIR/<name>.run.json.  Coordinates are full-resolution pixels.  Several inputs are a job: if it is
    stopped, the same command goes on. For research use only.
    """
    from contextlib import ExitStack

    from hemalum.cli.common import echo_json, inputs_of, output_folder, parse_mpp, parse_region, shown_progress, through
    from hemalum.cli.job import once
    from hemalum.runs.events import Parameters
    from hemalum.runs.pipeline import within
    from hemalum.runs.results import claimed, names_of
    from hemalum.sinks import parse_formats
    from hemalum.slides import open_slide, stem

    mpp, formats, region = parse_mpp(options["mpp"]), parse_formats(options["formats"]), parse_region(options["region"])
    parameters = Parameters(
        foreground=options["foreground"],
        marker=options["marker"],
        min_area_um2=options["min_area"],
        skip_glass=not options["all_tiles"],
        stain=options["stain"],
    )
    parameters.resolved({})
    paths = inputs_of(inputs)
    if server is None and len(paths) > 1:
        return once(paths, output, options, as_json, overwrite)
    records = []
    with ExitStack() as stack:
        computed = _here(options) if server is None else _by_server(server, token_file, ca, options["model_id"])
        segment_slide = stack.enter_context(computed)
        folder = stack.enter_context(output_folder(output))

        def one(path) -> bool:
            name = stem(path)
            claim = claimed(folder, name, names_of(name, formats), overwrite, paths)
            with claim, open_slide(path, mpp, options["series"]) as slide:
                slide.require_mpp()
                inside, within_region = (None, parameters) if region is None else within(slide, region, parameters)
                with shown_progress(path.name, as_json) as progress:
                    outcome = segment_slide(slide, within_region, formats, folder, progress, inside)
            records.append(outcome.record)
            for sentence in outcome.sentences(path.name):
                click.echo(sentence, err=True)
            if not as_json:
                files, seconds = ", ".join(map(str, outcome.paths)), outcome.record["seconds"]["total"]
                click.echo(f"{path.name}: {outcome.summary.nuclei} nuclei in {seconds:.1f} s → {files}")
            return not outcome.summary.failed

        try:
            through(paths, one)
        finally:
            if as_json:
                echo_json(records)


@contextmanager
def _here(options: dict):
    """Gives `segment_slide` of (slide, parameters, formats, folder, progress, region), computed in this process."""
    from hemalum.models import find
    from hemalum.runs.pipeline import Pipeline, segment_slide

    model = find(options["model_id"], options["folders"])
    with Pipeline(options["device"], options["threads"], options["precision"]) as pipeline:
        pipeline.load(model)
        yield lambda slide, *arguments: segment_slide(slide, model, pipeline, *arguments)


@contextmanager
def _by_server(address: str, token_file: str | None, ca: str | None, model: str):
    """The same, computed by a server."""
    import os

    # its own lines on stderr; what went wrong is said in a sentence of ours
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from hemalum.client.client import Client

    def waiting(sentence: str) -> None:
        click.echo(f"{address}: {sentence}", err=True)

    with Client(address, token_file=token_file, ca=ca, waiting=waiting) as client:
        source_of = click.get_current_context().get_parameter_source
        ours = [option for option, name in OWN.items() if source_of(name) is not click.core.ParameterSource.DEFAULT]
        if ours:
            click.echo(f"{', '.join(ours)}: left out, since the server has its own", err=True)
        yield lambda slide, *arguments: client.segment_slide(slide, model, *arguments)
