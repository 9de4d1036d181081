"""Files of a run: each appears whole or not at all, and a full disk is said so.

>>> import tempfile
>>> folder = Path(tempfile.mkdtemp())
>>> write_rows(folder / "a.csv", [{"tile": "x", "score": 0.5}])
>>> read_rows(folder / "a.csv"), read_rows(folder / "b.csv")
([{'tile': 'x', 'score': '0.5'}], [])
"""

from __future__ import annotations

import csv
import errno
import io
import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from hemalum.files import commit, commit_text

SIDE, CAPTION, COLUMNS, ROWS = 128, 14, 10, 8   # of a page of thumbnails: px, px


def out_of_space(error: BaseException | None) -> bool:
    """Whether a full disk is behind an error; libraries wrap it in errors of their own.

    >>> out_of_space(OSError(errno.ENOSPC, "")), out_of_space(OSError())
    (True, False)
    >>> out_of_space(ValueError("I/O error: No space left on device"))
    True
    """
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or "No space left" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def write_json(path: Path, content) -> None:
    """Commit a value as JSON in ASCII.  Raises `DiskFull`, as all of these do."""
    commit_text(path, json.dumps(content, indent=1))


def write_png(path: Path, picture: np.ndarray) -> None:
    """Commit a picture: uint8 H×W×3 RGB, or uint8 or uint16 H×W."""
    if picture.ndim == 3:
        picture = picture[..., ::-1]
    encoded = cv2.imencode(".png", np.ascontiguousarray(picture))[1].tobytes()
    commit(path, lambda file: file.write(encoded))


def write_rows(path: Path, rows: list[dict], names: list[str] | None = None) -> None:
    """Commit a CSV file; its head is `names`, or the first row's keys."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names or list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    commit_text(path, text.getvalue())


def read_lines(path: Path) -> list[dict]:
    """The JSON lines of a log; one that a full disk or a kill has torn is left out."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return lines


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file; none where it is not there."""
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def thumbnail_page(pictures: list[tuple[Path | np.ndarray, str]], path: Path, seed: int = 0) -> None:
    """Write a PNG with at most 80 pictures (files, or uint8 h×w×3), drawn evenly, and the line below each."""
    if len(pictures) > COLUMNS * ROWS:
        drawn = np.random.default_rng(seed).choice(len(pictures), COLUMNS * ROWS, replace=False)
        pictures = [pictures[i] for i in sorted(drawn)]
    rows = max(1, -(-len(pictures) // COLUMNS))
    page = Image.new("RGB", (COLUMNS * (SIDE + 4), rows * (SIDE + CAPTION + 4)), "white")
    pen = ImageDraw.Draw(page)
    for index, (picture, caption) in enumerate(pictures):
        x, y = index % COLUMNS * (SIDE + 4), index // COLUMNS * (SIDE + CAPTION + 4)
        image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else Image.open(picture).convert("RGB")
        image.thumbnail((SIDE, SIDE))
        page.paste(image, (x, y))
        pen.text((x, y + SIDE), caption[:24], fill="black")
    page.save(path)
