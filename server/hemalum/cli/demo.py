"""`hemalum demo`: a real server and a real client on the bundled slide region."""

from __future__ import annotations

import click

from hemalum.cli.options import MODELS, OVERWRITE

NAMES = {
    "nuclei.geojson": "nuclei.geojson",
    "nuclei.overlay.png": "overlay.png",
    "normalized.png": "normalized.png",
}  # of the run → of the demo


@click.command()
@click.option(
    "-o",
    "--output",
    default="demo",
    show_default=True,
    type=click.Path(),
    help="Folder for the results; made if it is not there.",
)
@click.option("--model", "model_id", default="nuclei", show_default=True, metavar="ID", help="Which model.")
@MODELS
@OVERWRITE
@click.option("--json", "as_json", is_flag=True, help="Print the run record as JSON, nothing else.")
def demo(output, model_id, folders, overwrite, as_json):
    """Segment the bundled slide region with a server of its own, and show the result.

    Writes nuclei.geojson (drag it onto the slide in QuPath), overlay.png, normalized.png and run.json.
    """
    import importlib.resources
    import tempfile
    from pathlib import Path

    import cv2

    from hemalum.cli.common import echo_json, output_folder, shown_progress
    from hemalum.client.child import local_server
    from hemalum.client.client import Client
    from hemalum.errors import PartlyFailed
    from hemalum.files import commit_json, move, whole_file
    from hemalum.models import find
    from hemalum.runs.events import Parameters
    from hemalum.runs.results import claimed
    from hemalum.sinks.overlay import picture_of
    from hemalum.slides import open_slide
    from hemalum.stain.table import apply_table

    def say(sentence: str) -> None:
        if not as_json:
            click.echo(sentence)

    find(model_id, folders)  # an unknown model is said before a server is started
    sample = importlib.resources.files("hemalum") / "data" / "CMU-1-Small-Region.svs"
    with output_folder(output) as folder, importlib.resources.as_file(sample) as path:
        say("starting a server …")
        with (
            claimed(folder, "nuclei", [*NAMES.values(), "run.json"], overwrite),
            local_server(folders) as (port, token),
            Client(f"127.0.0.1:{port}", token=token) as client,
            open_slide(path) as slide,
        ):
            say(
                f"server {client.info.server_version} answers on port {port}; segmenting {path.name}, "
                f"{slide.size[0]}×{slide.size[1]} px …"
            )
            with tempfile.TemporaryDirectory(dir=folder, prefix=".demo-") as scratch:
                with shown_progress(path.name, as_json) as progress:
                    made = client.segment_slide(
                        slide,
                        model_id,
                        Parameters(interactive=True),
                        ["geojson", "overlay"],
                        Path(scratch),
                        progress,
                        stem="nuclei",
                    )
                normalized = client.normalize(slide.overview(), mpp=slide.mpp * slide.overview_downsample)
                shown = apply_table(picture_of(slide)[0], normalized.table)
                with whole_file(Path(scratch) / "normalized.png") as file:
                    file.write(memoryview(cv2.imencode(".png", shown[..., ::-1])[1]))
                for source, target in NAMES.items():
                    move(Path(scratch) / source, folder / target)
        record = {**made.record, "outputs": list(NAMES.values())}
        commit_json(folder / "run.json", record, waits=())
        if as_json:
            echo_json(record)
        say(f"{made.summary.nuclei} nuclei in {record['seconds']['total']:.1f} s")
        for name, what in (
            ("nuclei.geojson", "drag it onto the slide in QuPath"),
            ("overlay.png", "the outlines on the slide"),
            ("normalized.png", "the slide in the reference stain"),
            ("run.json", "what was done, with what"),
        ):
            say(f"  {folder / name}: {what}")
    if made.summary.failed:
        raise PartlyFailed(f"{len(made.summary.failed)} tiles failed; run.json names them")
