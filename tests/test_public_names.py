"""What `import hemalum` offers, and that it costs nothing until it is asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import hemalum

NAMES = {"open_slide", "segment_slide", "normalize", "Client", "find_model", "score"}


def test_the_names_that_a_user_needs_are_offered():
    assert set(hemalum.__all__) == NAMES | {"__version__"} and set(dir(hemalum)) >= NAMES
    for name in NAMES:
        assert callable(getattr(hemalum, name)), name


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(hemalum.__file__).read_text(encoding="utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {}
    for node in checked.body:
        for alias in node.names:
            seen[alias.asname or alias.name] = node.module, alias.name
    assert seen == hemalum._PLACES


def test_another_name_is_refused_as_python_does():
    with pytest.raises(AttributeError, match="module 'hemalum' has no attribute 'cut'"):
        hemalum.cut  # noqa: B018


def test_importing_it_loads_no_library():
    program = "import sys, hemalum\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    heavy = {"numpy", "torch", "grpc", "numba", "cv2", "onnxruntime", "click", "importlib.metadata"}
    assert "hemalum" in done.stdout.split() and not heavy & set(done.stdout.split())
