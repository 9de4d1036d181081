"""`hemalum segment`: the nuclei of slides or images, in this process or by a server."""

from __future__ import annotations

import click

from hemalum.cli.options import OWN, TAKEN


@click.command()
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, type=click.Path())
@click.option("-o", "--output", required=True, type=click.Path(), help="Folder for the results; made if it is not there.")
@click.option("--model", "model_id", default="nuclei", show_default=True, metavar="ID", help="Which model; see `hemalum models list`.")
@click.option("--models", "folders", multiple=True, type=click.Path(), metavar="DIR", help="Folder with further models; may be repeated.")
@click.option("--mpp", metavar="F", help="µm per pixel of the inputs, 0.05 to 4; overrides what the files say.")
@click.option(
    "--format", "formats", default="geojson", show_default=True, metavar="LIST", help="Of geojson, labels, csv, overlay, parquet; comma between."
)
@click.option("--region", metavar="X,Y,W,H", help="Only this rectangle, in full-resolution pixels.")
@click.option(
    "--stain",
    default="macenko",
    show_default=True,
    metavar="NAME",
    help="How stains are told apart and normalized: macenko, vahadane, reinhard, learned, none.",
)
@click.option("--foreground", type=float, help="Probability from which a pixel is nucleus; the model's own by default.")
@click.option("--marker", type=float, help="Height of the distance map from which a nucleus grows; the model's own by default.")
@click.option("--min-area", type=float, metavar="µm²", help="Smaller nuclei are dropped; the model's own by default.")
@click.option("--all-tiles", is_flag=True, help="Look at glass, too.")
@click.option("--device", default="auto", show_default=True, type=click.Choice(["auto", "cpu", "cuda"]), help="What computes.")
@click.option("--threads", type=click.IntRange(1, 256), help="CPU threads of the network; all cores by default.")
@click.option("--precision", default="auto", show_default=True, type=click.Choice(["auto", "fp32", "int8"]), help="Of the arithmetic.")
@click.option("--server", metavar="HOST:PORT", help="Let this server do it; the pixels are read here.")
@click.option("--token-file", type=click.Path(), help="File with the server's token.")
@click.option("--ca", type=click.Path(), help="Certificate authority of the server (ca.crt), for TLS.")
@click.option("--json", "as_json", is_flag=True, help="Print the run records as JSON, nothing else.")
def segment(
    inputs, output, model_id, folders, mpp, formats, region, stain, foreground, marker, min_area, all_tiles, device, threads, precision,
    server, token_file, ca, as_json,
):  # fmt: skip
    """Find the nuclei of slides or images.

    Each INPUT is an image, a slide, or a folder of them.  Writes DIR/<name>.geojson for QuPath (and what --format names) and
    DIR/<name>.run.json.  Coordinates are full-resolution pixels.  Several inputs are a job: if it is stopped, the same command goes on.
    For research use only.
    """
    import json
    import os
    from contextlib import ExitStack

    from hemalum.cli.common import output_folder, parse_mpp, parse_region, shown_progress, through
    from hemalum.cli.job import once
    from hemalum.runs.events import Parameters
    from hemalum.runs.pipeline import within
    from hemalum.sinks import parse_formats
    from hemalum.slides import images_in, open_slide

    given_mpp, names, rectangle = parse_mpp(mpp), parse_formats(formats), parse_region(region)
    chosen = Parameters(foreground, marker, None, min_area, skip_glass=not all_tiles, stain=stain)
    chosen.resolved({})
    paths = images_in(inputs)
    if server is None and len(paths) > 1:
        options = {name: value for name, value in click.get_current_context().params.items() if name in TAKEN}
        return once(paths, output, options, as_json)
    records = []
    with ExitStack() as stack:
        if server is None:
            from hemalum.models import find
            from hemalum.runs.pipeline import Pipeline, segment_slide

            model = find(model_id, folders)
            pipeline = stack.enter_context(Pipeline(device, threads, precision))
            pipeline.load(model)

            def segmented(slide, *arguments):
                return segment_slide(slide, model, pipeline, *arguments)
        else:
            os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # its own lines on stderr; what went wrong is said in a sentence of ours
            from hemalum.client.client import Client

            client = stack.enter_context(Client(server, token_file=token_file, ca=ca))
            given = click.get_current_context().get_parameter_source
            if ours := [option for option, name in OWN.items() if given(name) is not click.core.ParameterSource.DEFAULT]:
                click.echo(f"{', '.join(ours)}: left out, since the server has its own", err=True)

            def segmented(slide, *arguments):
                return client.segment_slide(slide, model_id, *arguments)

        folder = stack.enter_context(output_folder(output))

        def one(path) -> bool:
            with open_slide(path, given_mpp) as slide:
                slide.require_mpp()
                inside, parameters = (None, chosen) if rectangle is None else within(slide, rectangle, chosen)
                with shown_progress(path.name, as_json) as progress:
                    outcome = segmented(slide, parameters, names, folder, progress, inside)
            records.append(outcome.record)
            for sentence in outcome.sentences(path.name):
                click.echo(sentence, err=True)
            if not as_json:
                made = ", ".join(str(result) for result in outcome.paths)
                click.echo(f"{path.name}: {outcome.summary.nuclei} nuclei in {outcome.record['seconds']['total']:.1f} s → {made}")
            return not outcome.summary.failed

        try:
            through(paths, one)
        finally:
            if as_json:
                click.echo(json.dumps(records, indent=1, ensure_ascii=False))
