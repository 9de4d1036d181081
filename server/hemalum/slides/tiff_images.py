"""Which image of a TIFF is the scan: the largest that is no label, macro or thumbnail."""

from __future__ import annotations

import re

import tifffile

from hemalum.errors import UnreadableImage, UsageError

BESIDE = re.compile(r"\b(label|macro|thumbnail|preview|slide overview|barcode)(image)?\b", re.IGNORECASE)
MOST_NAMED = 8


def chosen_image(file: tifffile.TiffFile, wanted: int | None, name: str, names: list[str]) -> tuple[int, str]:
    """The number of an image, and "" or a sentence that names the others.

    Args:
        wanted: what the user says, or None.  name: of the file.  names: of the images, as far as they have any.

    Raises:
        UsageError: there is no image of that number.  UnreadableImage: there is none at all.
    """
    every = file.series
    if not every:
        raise UnreadableImage(f"{name} holds no image; copy or export it again")
    titles = [_title(i, series, names[i] if i < len(names) else "") for i, series in enumerate(every)]
    if wanted is not None:
        if 0 <= wanted < len(every):
            return wanted, ""
        if len(every) == 1:
            raise UsageError(f"{name} holds one image; leave out --series {wanted}")
        raise UsageError(f"{name} holds {len(every)} images: {_listed(titles)}; give --series 0 to {len(every) - 1}")
    scans = [i for i, title in enumerate(titles) if not _beside(every[i], title)]
    index = max(scans or range(len(every)), key=lambda i: _area(every[i]))
    if len(every) == 1:
        return index, ""
    others = [title for i, title in enumerate(titles) if i != index]
    return index, (
        f"{len(every)} images in the file; the largest, {titles[index]}, is used and not {_listed(others)}; --series "
        "takes another"
    )


def _title(index: int, series: tifffile.TiffPageSeries, name: str) -> str:
    name = name or series.name
    width, height = _size(series)
    return f"{index}" + (f" '{name}'" if name else "") + f" of {width} × {height} px"


def _size(series: tifffile.TiffPageSeries) -> tuple[int, int]:
    sizes = dict(zip(series.axes, series.shape, strict=True))
    return sizes.get("X", 0), sizes.get("Y", 0)


def _area(series: tifffile.TiffPageSeries) -> int:
    width, height = _size(series)
    return width * height


def _beside(series: tifffile.TiffPageSeries, title: str) -> bool:
    """Whether a page shows the slide itself, its label, or a scan made smaller."""
    page = series.keyframe
    if page.subfiletype & 1 or page.photometric == tifffile.PHOTOMETRIC.MASK:  # reduced, of another page
        return True
    described = page.description if isinstance(page.description, str) and "<" not in page.description else ""
    return bool(BESIDE.search(title) or BESIDE.search(described[:200]))


def _listed(titles: list[str]) -> str:
    more = len(titles) - MOST_NAMED
    return ", ".join(titles[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
