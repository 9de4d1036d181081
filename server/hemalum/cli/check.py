"""`hemalum check`: what works on this machine, with a fix for what does not."""

from __future__ import annotations

import click

from hemalum.cli.options import MODELS


@click.command()
@MODELS
@click.option("--compile", "compiling", is_flag=True, help="Compile all loops now, so that no first run waits for it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(folders, compiling, as_json):
    """Tell what works on this machine, with a fix for what does not.

    Ends with 0 if slides can be segmented here; what is optional (GPU, QuPath, a JDK, paquo, Dask) only gets a line.
    """
    from hemalum.cli.common import echo_json

    rows = [
        _python(),
        _slides(),
        _loops(compiling),
        _network(folders),
        *_models(folders),
        _service(),
        _gpu(),
        _qupath(),
        _java(),
        *_optional(),
    ]
    if as_json:
        echo_json([{"part": part, "state": state, "says": says, "fix": fix} for part, state, says, fix in rows])
    else:
        marks = {"good": "✓", "optional": "–", "bad": "✗"}
        if not _prints("✓"):
            marks = {"good": "+", "optional": "-", "bad": "x"}
        for part, state, says, fix in rows:
            click.echo(f"{marks[state]} {part:16} {says}" + (f"\n  {'':16} fix: {fix}" if fix else ""))
    if any(state == "bad" for _, state, _, _ in rows):
        raise click.exceptions.Exit(2)


def _prints(text: str) -> bool:
    import sys

    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:  # a Windows console with a code page of its own
        return False
    return True


def _python():
    import platform

    from hemalum import __version__
    from hemalum.compiled import cores

    return (
        "hemalum",
        "good",
        f"{__version__}, Python {platform.python_version()}, {platform.platform()}, {cores()} cores",
        "",
    )


def _slides():
    import importlib.resources

    from hemalum.errors import HemalumError
    from hemalum.grid.tiling import Rect
    from hemalum.slides import open_slide

    sample = importlib.resources.files("hemalum") / "data" / "CMU-1-Small-Region.svs"
    try:
        import openslide

        with importlib.resources.as_file(sample) as path, open_slide(path) as slide:
            slide.read(Rect(0, 0, 64, 64), 1)
        return "slide library", "good", f"OpenSlide {openslide.__library_version__} reads the bundled slide region", ""
    except (ImportError, OSError, HemalumError) as error:
        return (
            "slide library",
            "bad",
            f"slides cannot be read: {error}",
            "pip install --force-reinstall openslide-python openslide-bin",
        )


def _loops(all_of_them: bool):
    """Whether loops can be compiled; `all_of_them`: compiles those that are not in the cache."""
    import time

    fix = "pip install --force-reinstall numba llvmlite"
    try:
        import numpy as np

        from hemalum.compiled import root

        if int(root(np.array([0, 0, 1], np.int32), 2)) != 0:
            return "compiled loops", "bad", "a compiled function computes wrongly", fix
        if not all_of_them:
            return "compiled loops", "good", "a compiled function runs", ""
        click.echo("compiling, about half a minute the first time …", err=True)
        from hemalum.runs.compilation import compile_all

        began = time.monotonic()
        compile_all()
        return "compiled loops", "good", f"all compiled, {time.monotonic() - began:.0f} s", ""
    except Exception as error:  # numba's and LLVM's are of many kinds
        return "compiled loops", "bad", f"loops cannot be compiled: {type(error).__name__}: {error}", fix


def _network(folders):
    try:
        import onnxruntime

        return (
            "network runtime",
            "good",
            f"ONNX Runtime {onnxruntime.__version__}, {', '.join(onnxruntime.get_available_providers())}",
            "",
        )
    except ImportError as error:
        return (
            "network runtime",
            "bad",
            f"ONNX Runtime cannot be loaded: {error}",
            "pip install --force-reinstall onnxruntime",
        )


def _models(folders):
    from hemalum.engine.onnx_engine import OnnxEngine
    from hemalum.errors import DamagedModel, HemalumError
    from hemalum.models import check as check_files
    from hemalum.models import list_models

    broken: list[str] = []
    rows = []
    try:
        found = list_models(folders, broken)
    except HemalumError as error:
        return [("models", "bad", str(error), "give an existing folder with --models")]
    for model in found:
        try:
            if problems := check_files(model):
                raise DamagedModel(problems[0])
            engine = OnnxEngine(model)
            rows.append(
                (
                    f"model {model.id}",
                    "good",
                    f"version {model.card.version}, {engine.device}" + "".join(f"; {s}" for s in engine.notices),
                    "",
                )
            )
        except HemalumError as error:
            rows.append(
                (f"model {model.id}", "bad", str(error), f"hemalum models install DIR, or remove {model.folder}")
            )
    rows += [("model", "bad", sentence, "install the package again or remove its folder") for sentence in broken]
    if not found:
        rows.append(("models", "bad", "no model is installed", "reinstall Hemalum, or hemalum models install DIR"))
    return rows


def _service():
    import socket

    try:
        import grpc

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
        return "service", "good", f"gRPC {grpc.__version__}, a loopback port can be opened", ""
    except ImportError as error:
        return "service", "bad", f"gRPC cannot be loaded: {error}", "pip install --force-reinstall grpcio"
    except OSError as error:
        return (
            "service",
            "bad",
            f"no loopback port can be opened ({error.strerror})",
            "allow local connections in the firewall",
        )


def _gpu():
    import importlib.util
    import shutil

    if importlib.util.find_spec("torch") is None:
        seen = shutil.which("nvidia-smi") is not None
        return (
            "GPU",
            "optional",
            "an NVIDIA driver is here, PyTorch is not" if seen else "none is used",
            "pip install 'hemalum[gpu]'" if seen else "",
        )
    from hemalum.engine.torch_engine import cuda_problem

    problem = cuda_problem()
    if problem:
        return "GPU", "optional", problem.split(";")[0], problem.split("; ")[-1]
    import torch

    return "GPU", "good", f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}", ""


def _qupath():
    """QuPath's installed folder, looked for where its installers put it."""
    import os
    from pathlib import Path

    roots = [Path("/opt"), Path("/Applications"), Path.home(), Path(os.environ.get("PROGRAMFILES", "/nonexistent")),
             Path(os.environ.get("LOCALAPPDATA", "/nonexistent"))]  # fmt: skip
    given = os.environ.get("PAQUO_QUPATH_DIR")
    found = (
        [Path(given)]
        if given
        else [p for root in roots if root.is_dir() for p in sorted(root.glob("QuPath*")) if p.is_dir()]
    )
    found = [
        p
        for p in found
        if (p / "lib" / "app").is_dir() or (p / "app").is_dir() or p.suffix == ".app" or (p / "bin").is_dir()
    ]
    if found:
        return "QuPath", "good", f"in {found[-1]}", ""
    return (
        "QuPath",
        "optional",
        "not found where its installers put it",
        "install QuPath 0.7, or set PAQUO_QUPATH_DIR to its folder",
    )


def _java():
    import os
    import shutil
    import subprocess
    from pathlib import Path

    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if not java:
        return (
            "JDK",
            "optional",
            "none found; only building the QuPath extension needs one",
            "install JDK 25 and set JAVA_HOME",
        )
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20, check=False)
        return "JDK", "good", (said.stderr or said.stdout).splitlines()[0], ""
    except (OSError, IndexError, subprocess.TimeoutExpired) as error:
        return "JDK", "optional", f"{java} does not run ({error})", "set JAVA_HOME to a JDK 25"


def _optional():
    import importlib.util

    for part, module, extra in (
        ("QuPath projects", "paquo", "projects"),
        ("several machines", "distributed", "batch"),
        ("training", "timm", "training"),
    ):
        there = importlib.util.find_spec(module) is not None
        yield (
            part,
            "good" if there else "optional",
            f"{module} is installed" if there else f"{module} is not installed",
            "" if there else f"pip install 'hemalum[{extra}]'",
        )
