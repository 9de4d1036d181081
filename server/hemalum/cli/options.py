"""Options that several commands share, in the order in which their help shows them."""

from __future__ import annotations

import click

OWN = {
    "--models": "folders",
    "--device": "device",
    "--threads": "threads",
    "--precision": "precision",
}  # of whoever computes

MODEL = click.option(
    "--model",
    "model_id",
    default="nuclei",
    show_default=True,
    metavar="ID",
    help="Which model; see `hemalum models list`.",
)
MODELS = click.option(
    "--models",
    "folders",
    multiple=True,
    type=click.Path(),
    metavar="DIR",
    help="Folder with further models; may be repeated.",
)
MPP = click.option("--mpp", metavar="F", help="µm per pixel of the inputs, 0.05 to 4; overrides what the files say.")
FORMATS = click.option(
    "--format",
    "formats",
    default="geojson",
    show_default=True,
    metavar="LIST",
    help="Of geojson, labels, csv, overlay, parquet; comma between.",
)
REGION = click.option("--region", metavar="X,Y,W,H", help="Only this rectangle, in full-resolution pixels.")
SERIES = click.option(
    "--series",
    type=click.IntRange(0),
    metavar="N",
    help="Which image of a file that holds several, from 0; by default the largest that is no label or macro.",
)
STAIN = click.option(
    "--stain",
    default="macenko",
    show_default=True,
    metavar="NAME",
    help="How stains are told apart and normalized: macenko, vahadane, reinhard, learned, none.",
)
FOREGROUND = click.option(
    "--foreground", type=float, help="Probability from which a pixel is nucleus; the model's own by default."
)
MARKER = click.option(
    "--marker", type=float, help="Height of the distance map from which a nucleus grows; the model's own by default."
)
MIN_AREA = click.option(
    "--min-area", type=float, metavar="µm²", help="Smaller nuclei are dropped; the model's own by default."
)
ALL_TILES = click.option("--all-tiles", is_flag=True, help="Look at glass, too.")
DEVICE = click.option(
    "--device",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    help="What computes; mps: an Apple GPU, untested.",
)
THREADS = click.option(
    "--threads", type=click.IntRange(1, 256), help="CPU threads of the network; all cores by default."
)
PRECISION = click.option(
    "--precision",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "fp32", "int8"]),
    help="Of the arithmetic.",
)
BEFORE, BEHIND = (
    (MODEL, MODELS, MPP, FORMATS),
    (STAIN, FOREGROUND, MARKER, MIN_AREA, ALL_TILES, DEVICE, THREADS, PRECISION),
)

OVERWRITE = click.option(
    "--overwrite", is_flag=True, help="Replace files of the results' names that no run of Hemalum made."
)

WORKERS = click.option(
    "--workers", type=click.IntRange(1, 64), help="Compute in this many processes on this machine (Dask)."
)
SCHEDULER = click.option(
    "--scheduler", metavar="ADDRESS", help="Compute on the Dask cluster of this scheduler (tcp://HOST:8786)."
)

ANNOTATIONS = click.option(
    "--annotations",
    type=click.Path(),
    metavar="DIR",
    help="Of a project: folder with each image's GeoJSON, from QuPath or its extension.",
)
PATIENT_KEY = click.option("--patient-key", metavar="KEY", help="Of a project: metadata key that holds the patient.")
PATIENT_PATTERN = click.option(
    "--patient-pattern", metavar="REGEX", help="The first group in the image's name is the patient."
)
VALIDATION = click.option(
    "--validation",
    default=0.2,
    show_default=True,
    type=click.FloatRange(0, 0.9),
    help="Share of patients kept for validation.",
)
UNLABELLED = click.option(
    "--unlabelled",
    default=20,
    show_default=True,
    type=click.IntRange(0, 10_000),
    help="Tissue tiles without labels a training slide.",
)


def _with(command, options):
    for option in reversed(options):
        command = option(command)
    return command


def segmenting(command):
    """How nuclei are found: model, resolution, formats, region, series, stain, thresholds, device."""
    return _with(command, (*BEFORE, REGION, SERIES, *BEHIND))


def segmenting_whole(command):
    """The same without a region."""
    return _with(command, (*BEFORE, *BEHIND))


def on_cluster(command):
    """Where a job is computed."""
    return _with(command, (WORKERS, SCHEDULER))


def annotated(command):
    """Where annotations and patients are found, and what is kept apart."""
    return _with(command, (ANNOTATIONS, PATIENT_KEY, PATIENT_PATTERN, VALIDATION, UNLABELLED))
