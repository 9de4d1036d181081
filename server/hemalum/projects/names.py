"""File names for the images of a project.

>>> unique(["a.svs", "a.svs", "b/c", "a (2)", "a.svs (cropped)"])
['a', 'a (2)', 'b_c', 'a (2) (2)', 'a.svs (cropped)']
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain, count
from pathlib import Path

from hemalum.slides.inputs import SUFFIXES, stem

REFUSED = re.compile(r'[<>:"/\\|?*\x00-\x1f]')  # by file systems


def unique(names: list[str], taken: Iterable[str] = ()) -> list[str]:
    """File names for images: without an image's suffix and without what file systems refuse, numbered where they
    meet."""
    used = {name.casefold() for name in taken}
    result = []
    for name in names:
        clean = REFUSED.sub("_", name)
        if Path(clean).suffix.lower() in SUFFIXES:
            clean = stem(clean)
        clean = clean.strip(" .") or "image"
        candidates = chain([clean], (f"{clean} ({number})" for number in count(2)))
        free = next(candidate for candidate in candidates if candidate.casefold() not in used)
        used.add(free.casefold())
        result.append(free)
    return result
