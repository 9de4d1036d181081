"""Hemalum: nucleus segmentation and stain normalization for H&E slides.  For research use only.

What a user of the library needs is here; each name is imported when it is first asked for, so that `import hemalum`
costs nothing.

>>> import hemalum
>>> with hemalum.open_slide("slide.svs") as slide:                               # doctest: +SKIP
...     slide.size, slide.mpp
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# ONNX Runtime would report to its vendor and write a device id under HOME; it looks when it is first imported
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from hemalum.client.client import Client
    from hemalum.models import find as find_model
    from hemalum.runs.normalize import normalize
    from hemalum.runs.pipeline import segment_slide
    from hemalum.scoring.metrics import score
    from hemalum.slides import open_slide

__version__ = "0.1.0"
__all__ = ["Client", "__version__", "find_model", "normalize", "open_slide", "score", "segment_slide"]

_PLACES = {
    "Client": ("hemalum.client.client", "Client"),
    "find_model": ("hemalum.models", "find"),
    "normalize": ("hemalum.runs.normalize", "normalize"),
    "open_slide": ("hemalum.slides", "open_slide"),
    "score": ("hemalum.scoring.metrics", "score"),
    "segment_slide": ("hemalum.runs.pipeline", "segment_slide"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    module, attribute = _PLACES[name]
    value = globals()[name] = getattr(importlib.import_module(module), attribute)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
