"""`hemalum evaluate REF_DIR PRED_DIR`: scores pairs of label images, and shows the worst first."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hemalum.errors import HemalumError, PartlyFailed, UsageError


@click.command()
@click.argument("ref_dir", type=click.Path(path_type=Path))
@click.argument("pred_dir", type=click.Path(path_type=Path))
@click.option("-o", "--output", "folder", type=click.Path(), metavar="DIR",
              help="Write evaluate.json, scores.csv, worst-first.png and evaluate.html there.")  # fmt: skip
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Images of the same names, to draw the outlines on.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(ref_dir: Path, pred_dir: Path, folder: str | None, images: Path | None, as_json: bool):
    """Score the label images in PRED_DIR against those in REF_DIR.

    Files are paired by name, without ending and without `.labels`: PNG, TIFF or NPY, 0 = background, each other value a
    nucleus. Prints every image, worst AJI first, and means with 95 % bootstrap intervals over images.
    """
    from contextlib import nullcontext

    from hemalum.cli.common import output_folder
    from hemalum.scoring.pairs import as_text, by_stem, scores, summary

    references, predictions = by_stem(ref_dir), by_stem(pred_dir)
    pictures = _pictures(images, folder)
    if folder and Path(folder).resolve() in (ref_dir.resolve(), pred_dir.resolve()):
        raise UsageError(
            f"the report in {folder} would be taken for label images by the next run; choose another folder with -o"
        )
    with output_folder(folder) if folder else nullcontext() as out:
        notices: list[str] = []
        rows, failed = scores(
            references, predictions, pred_dir, lambda error: click.echo(f"hemalum: {error}", err=True), notices
        )
        if extra := len(predictions.keys() - references.keys()):
            notices.append(
                f"{extra} of {len(predictions)} predictions in {pred_dir} have no reference and are left out"
            )
        report = summary(rows, failed, notices)
        if out is not None:
            _write(out, report, {stem: (references[stem], predictions[stem]) for stem in rows}, pictures)
    for notice in notices:
        click.echo(f"hemalum: {notice}", err=True)
    click.echo(json.dumps(report, indent=1, ensure_ascii=False) if as_json else as_text(report))
    if failed:
        raise PartlyFailed(
            f"{len(failed)} of {len(references)} reference images could not be scored; the means are of the rest"
        )


def _pictures(images: Path | None, folder: str | None) -> dict[str, Path]:
    """Images to draw on by stem."""
    from hemalum.slides import images_in, stem

    if images is None:
        return {}
    if not folder:
        raise UsageError("--images are drawn on the contact sheet, which needs a folder; add -o DIR")
    if not images.is_dir():
        raise UsageError(f"{images} is not a folder; give the folder that holds the images")
    return {stem(path): path for path in images_in([images])}


def _write(folder: Path, report: dict, pairs: dict[str, tuple[Path, Path]], pictures: dict[str, Path]) -> None:
    """evaluate.json, scores.csv, worst-first.png and evaluate.html, each whole or not at all; pictures that do not fit
    become notices."""
    import csv
    import io
    from contextlib import ExitStack

    from hemalum.files import whole_file
    from hemalum.grid.tiling import Rect
    from hemalum.scoring import contact_sheet
    from hemalum.scoring.pairs import read_labels
    from hemalum.slides import open_slide

    panels = []
    for stem in list(report["images"])[: contact_sheet.SHOWN]:
        reference, predicted = (read_labels(path) for path in pairs[stem])
        with ExitStack() as opened:
            read = None
            try:
                if stem in pictures:
                    slide = opened.enter_context(open_slide(pictures[stem]))
                    if tuple(slide.size) != reference.shape[::-1]:
                        raise UsageError(
                            f"{pictures[stem].name} has another size than its label image; give the image that was "
                            "labelled"
                        )
                    read = lambda x, y, w, h, slide=slide: slide.read(Rect(x, y, w, h), 1)  # noqa: E731
                panel = contact_sheet.panel(stem, report["images"][stem], reference, predicted, read)
            except HemalumError as error:
                report["notices"].append(f"{error} (left out of the sheet)")
                panel = contact_sheet.panel(stem, report["images"][stem], reference, predicted, None)
        panels.append(panel)
    names = list(next(iter(report["images"].values())))
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(["image", *names])
    for stem, row in report["images"].items():
        writer.writerow([stem, *(row[name] for name in names)])
    sheet = io.BytesIO()
    contact_sheet.sheet(panels).save(sheet, "PNG")
    for name, content in {
        "evaluate.json": json.dumps(report, indent=1, ensure_ascii=False).encode(),
        "scores.csv": table.getvalue().encode(),
        "worst-first.png": sheet.getvalue(),
        "evaluate.html": contact_sheet.page(report, panels).encode(),
    }.items():
        with whole_file(folder / name) as file:
            file.write(content)
