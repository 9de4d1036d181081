"""Options that several commands share."""

from __future__ import annotations

import click

OWN = {"--models": "folders", "--device": "device", "--threads": "threads", "--precision": "precision"}  # of whoever computes


TAKEN = frozenset("model_id folders mpp formats region stain foreground marker min_area all_tiles device threads precision".split())  # by jobs


def annotated(command):
    """The options that say where annotations and patients are found, and what is kept apart."""
    for option in (
        click.option(
            "--unlabelled", default=20, show_default=True, type=click.IntRange(0, 10_000), help="Tissue tiles without labels a training slide."
        ),
        click.option("--validation", default=0.2, show_default=True, type=click.FloatRange(0, 0.9), help="Share of patients kept for validation."),
        click.option("--patient-pattern", metavar="REGEX", help="The first group in the image's name is the patient."),
        click.option("--patient-key", metavar="KEY", help="Of a project: metadata key that holds the patient."),
        click.option(
            "--annotations", type=click.Path(), metavar="DIR", help="Of a project: folder with each image's GeoJSON, from QuPath or its extension."
        ),
    ):
        command = option(command)
    return command
