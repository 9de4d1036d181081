"""`hemalum evaluate REF_DIR PRED_DIR`: pairs label images by stem, scores them, and shows the worst first."""

from __future__ import annotations

import base64
import csv
import html
import json
from pathlib import Path

import click

from hemalum.errors import DiskFull, UnreadableImage, UsageError

SUFFIXES = (".png", ".tif", ".tiff", ".npy")
SHOWN = 12  # pictures on the contact sheet
SIDE = 360  # px of a picture's longer side
COLOURS = {"missed": (230, 159, 0), "found too much": (213, 94, 0), "both": (0, 158, 115)}  # told apart by colour-blind readers too


@click.command()
@click.argument("ref_dir", type=click.Path(path_type=Path))
@click.argument("pred_dir", type=click.Path(path_type=Path))
@click.option("-o", "--output", "folder", type=click.Path(), metavar="DIR",
              help="Write evaluate.json, scores.csv, worst-first.png and evaluate.html there.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(ref_dir: Path, pred_dir: Path, folder: str | None, as_json: bool):
    """Score the label images in PRED_DIR against those in REF_DIR.

    Files are paired by name, without ending and without `.labels`: PNG, TIFF or NPY, 0 = background, each other value a nucleus.
    """
    from contextlib import nullcontext

    from hemalum.cli.common import output_folder

    pairs, notices = paired(ref_dir, pred_dir)
    with output_folder(folder) if folder else nullcontext() as out:
        rows = {stem: _scored(*files) for stem, files in pairs.items()}
        report = summary(rows, notices)
        for notice in notices:
            click.echo(f"hemalum: {notice}", err=True)
        if out is not None:
            try:
                write(out, report, pairs)
            except OSError as error:
                raise DiskFull(f"{out} could not be written ({error.strerror}); make room and run evaluate again") from None
    if as_json:
        click.echo(json.dumps(report, indent=1))
        return
    for name, (mean, low, high) in report["means"].items():
        click.echo(f"{name:6} {mean:.4f}  ({low:.4f}–{high:.4f})")
    click.echo(f"{len(rows)} images, means with 95 % bootstrap intervals over images; worst by AJI: {next(iter(report['images']))}")


def paired(ref_dir: Path, pred_dir: Path) -> tuple[dict[str, tuple[Path, Path]], list[str]]:
    """Reference and predicted file by stem, sorted, and notices about predictions that have no reference.

    Raises:
        UsageError: a folder that is none or holds no label image, two files of one stem, a reference without a prediction.
    """
    references, predictions = _by_stem(ref_dir), _by_stem(pred_dir)
    missing = [stem for stem in references if stem not in predictions]
    if missing:
        raise UsageError(f"{len(missing)} of {len(references)} reference images have no prediction in {pred_dir}, the first is "
                         f"{missing[0]}; predict them, or move them out of {ref_dir}")  # fmt: skip
    extra = len(predictions) - len(references)
    notices = [f"{extra} predictions in {pred_dir} have no reference and are left out"] if extra else []
    return {stem: (references[stem], predictions[stem]) for stem in sorted(references)}, notices


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; give the folder that holds the label images")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES:
            stem = path.stem.removesuffix(".labels")
            if stem in found:
                raise UsageError(f"{found[stem].name} and {path.name} in {folder} have one stem; keep one of them")
            found[stem] = path
    if not found:
        raise UsageError(f"{folder} holds no label image ({', '.join(SUFFIXES)}); write some with `hemalum segment --format labels`")
    return found


def read_labels(path: Path):
    """H × W int64 label image; `UnreadableImage` where the file is damaged, has colours or is not of whole numbers."""
    import numpy as np

    try:
        if path.suffix.lower() == ".npy":
            labels = np.load(path, allow_pickle=False)
        elif path.suffix.lower() == ".png":
            from PIL import Image

            Image.MAX_IMAGE_PIXELS = None  # a label image of a whole slide is no attack
            with Image.open(path) as image:
                labels = np.array(image)
        else:
            import tifffile

            labels = tifffile.imread(path)
    except Exception as error:  # each of the three libraries has its own exceptions for a damaged file
        raise UnreadableImage(f"{path} cannot be read as a label image ({error}); write it again") from None
    if labels.dtype == bool:
        labels = labels.astype(np.uint8)
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise UnreadableImage(f"{path} is no label image but {labels.dtype} of shape {labels.shape}; give one whole number a pixel")
    return labels.astype(np.int64)


def _scored(ref_file: Path, pred_file: Path) -> dict[str, float]:
    from hemalum.metrics import score

    reference, predicted = read_labels(ref_file), read_labels(pred_file)
    if reference.shape != predicted.shape:
        raise UsageError(f"{ref_file.name} has {reference.shape[1]}×{reference.shape[0]} px and its prediction "
                         f"{predicted.shape[1]}×{predicted.shape[0]}; predict at the reference's own size")  # fmt: skip
    return score(reference, predicted).as_dict()


def summary(rows: dict[str, dict[str, float]], notices: list[str]) -> dict:
    """What `--json` prints and evaluate.json holds: protocol, means with intervals, and the images, worst AJI first."""
    from hemalum import __version__
    from hemalum.metrics import NAMES, bootstrap

    return {
        "hemalum": __version__,
        "protocol": "AJI as HoVer-Net's get_fast_aji; AJI+ by the best one-to-one assignment; PQ, DQ, SQ and F1 at IoU > 0.5; "
        "Dice and fgIoU on pixels; means over images, 95 % percentile bootstrap over images",
        "means": {name: list(bootstrap([row[name] for row in rows.values()])) for name in NAMES},
        "n_ref": sum(row["n_ref"] for row in rows.values()),
        "n_pred": sum(row["n_pred"] for row in rows.values()),
        "notices": notices,
        "images": dict(sorted(rows.items(), key=lambda item: (item[1]["AJI"], item[0]))),
    }


def write(folder: Path, report: dict, pairs: dict[str, tuple[Path, Path]]) -> None:
    """evaluate.json, scores.csv, worst-first.png and evaluate.html (which needs no other file)."""
    (folder / "evaluate.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    with (folder / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        names = list(next(iter(report["images"].values())))
        table = csv.writer(file)
        table.writerow(["image", *names])
        table.writerows([stem, *(row[name] for name in names)] for stem, row in report["images"].items())
    contact_sheet(report, pairs).save(folder / "worst-first.png")
    (folder / "evaluate.html").write_text(_page(report, (folder / "worst-first.png").read_bytes()), encoding="utf-8")


def contact_sheet(report: dict, pairs: dict[str, tuple[Path, Path]]):
    """Pillow image of the worst pairs: nuclei of both sides by `COLOURS`, with the borders of the reference in white."""
    import numpy as np
    from PIL import Image, ImageDraw

    worst = list(report["images"].items())[:SHOWN]
    across = min(4, len(worst))
    down = -(-len(worst) // across)
    sheet = Image.new("RGB", (across * (SIDE + 8) + 8, down * (SIDE + 28) + 8), "white")
    draw = ImageDraw.Draw(sheet)
    for position, (stem, row) in enumerate(worst):
        reference, predicted = (read_labels(path) for path in pairs[stem])
        picture = np.full((*reference.shape, 3), 25, np.uint8)
        picture[(reference > 0) & (predicted == 0)] = COLOURS["missed"]
        picture[(reference == 0) & (predicted > 0)] = COLOURS["found too much"]
        picture[(reference > 0) & (predicted > 0)] = COLOURS["both"]
        border = np.zeros(reference.shape, bool)
        border[:, 1:] |= reference[:, 1:] != reference[:, :-1]
        border[1:] |= reference[1:] != reference[:-1]
        picture[border] = 255
        small = Image.fromarray(picture)
        small.thumbnail((SIDE, SIDE))
        x, y = 8 + position % across * (SIDE + 8), 8 + position // across * (SIDE + 28)
        sheet.paste(small, (x, y + 18))
        draw.text((x, y + 2), f"{stem[:40]}  AJI {row['AJI']:.3f}  PQ {row['PQ']:.3f}", fill="black")
    return sheet


def _page(report: dict, picture: bytes) -> str:
    names = list(next(iter(report["images"].values())))

    def cells(values) -> str:
        return "".join(f"<td>{value if isinstance(value, int) else format(value, '.4f')}</td>" for value in values)

    means = "".join(f"<tr><th>{name}</th>{cells(interval)}</tr>" for name, interval in report["means"].items())
    rows = "".join(f"<tr><th>{html.escape(stem)}</th>{cells(row[name] for name in names)}</tr>" for stem, row in report["images"].items())
    legend = " · ".join(f'<b style="color:rgb{colour}">{name}</b>' for name, colour in COLOURS.items())
    return (
        '<!doctype html><meta charset="utf-8"><title>hemalum evaluate</title>'
        "<style>body{font:15px sans-serif;margin:2em}table{border-collapse:collapse}"
        "td,th{padding:2px 10px;text-align:right}img{max-width:100%}</style>"
        f"<h1>{len(report['images'])} images</h1><p>{html.escape(report['protocol'])}.</p>"
        f"<table><tr><th></th><th>mean</th><th>low</th><th>high</th></tr>{means}</table>"
        f"<h2>Worst first</h2><p>{legend}; white: borders of the reference</p>"
        f'<img alt="worst images" src="data:image/png;base64,{base64.b64encode(picture).decode()}">'
        f"<table><tr><th>image</th>{''.join(f'<th>{name}</th>' for name in names)}</tr>{rows}</table>"
    )
