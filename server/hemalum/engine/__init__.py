"""Engines: ONNX Runtime on the CPU by default, PyTorch on CUDA, behind one protocol; and the queue all runs share.

>>> import numpy as np
>>> from hemalum.models import find
>>> open_engine(find("nuclei"), "cpu").maps(np.zeros((1, 100, 70, 3), np.uint8)).shape
(1, 2, 100, 70)
"""

from __future__ import annotations

from hemalum.engine.base import Engine
from hemalum.engine.queue import Lane, TileQueue
from hemalum.errors import DamagedModel, UsageError
from hemalum.models import Model

DEVICES = ("auto", "cpu", "cuda", "mps")

__all__ = ["DEVICES", "Engine", "Lane", "TileQueue", "open_engine"]


def open_engine(model: Model, device: str = "auto", threads: int | None = None, precision: str = "auto") -> Engine:
    """The engine for a model.

    Args:
        device: "cpu", "cuda", "mps" (an Apple GPU, untested), or "auto": CUDA where PyTorch sees it and the model has a
            program for it, else the CPU.
        threads, precision: of the CPU engine; see `OnnxEngine`.

    Raises:
        UsageError: unknown device, or a GPU where there is none.
        DamagedModel: the package is damaged.
    """
    if device not in DEVICES:
        raise UsageError(f"device {device!r} is not known; choose one of {', '.join(DEVICES)}")
    from hemalum.engine.onnx_engine import OnnxEngine

    model.verified("model.onnx")  # these weights name the result, whichever file computes it
    notice = None
    wanted, has_program = device in ("cuda", "mps"), model.path("model.pt2") is not None
    if wanted or (device == "auto" and precision == "auto" and has_program):
        from hemalum.engine.torch_engine import TorchEngine, cuda_problem

        if wanted or cuda_problem() is None:
            kind = device if wanted else "cuda"
            try:
                return TorchEngine(model, device=kind)
            except DamagedModel as error:
                if wanted:
                    raise
                notice = f"{error}; the CPU is used"
            except (UsageError, RuntimeError) as error:  # RuntimeError: a driver that fails in the first kernel
                problem = str(error).splitlines()[0]
                if wanted:
                    raise UsageError(f"{kind.upper()} cannot be used ({problem}); choose --device cpu") from error
                notice = f"CUDA cannot be used ({problem}); the CPU is used"
    engine = OnnxEngine(model, threads, precision)
    if notice:
        engine.notices.append(notice)
    return engine
