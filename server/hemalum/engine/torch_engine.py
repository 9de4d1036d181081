"""PyTorch with CUDA, or on an Apple GPU: the exported program `model.pt2` in batches, checked against the stored tile.

torch is imported only when this engine is asked for.  The batch size that pays is measured at load (1, 2, 4, … while
each doubling makes a tile at least 10 % cheaper); it is halved for tiles of a size for which memory runs out.

>>> import importlib.util
>>> if importlib.util.find_spec("torch") and cuda_problem() is None:
...     from hemalum.models import find
...     TorchEngine(find("nuclei"))
"""

from __future__ import annotations

import ctypes
import importlib.util
import inspect
import io
import sys
import time

import numpy as np

from hemalum.engine.base import agreement, fitted, stored_tile
from hemalum.engine.guard import same_nuclei
from hemalum.errors import DamagedModel, UsageError
from hemalum.models import Model


def cuda_problem() -> str | None:
    """Why CUDA cannot be used here, as a sentence with the fix; `None` if it can.

    The driver is looked for first: importing torch takes seconds that a machine without a GPU need not spend.
    """
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed; install it with pip install 'hemalum[gpu]'"
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return "there is no NVIDIA driver here; install it, or use the CPU"
    import torch

    if not torch.cuda.is_available():
        return f"PyTorch {torch.__version__} sees no CUDA device; install NVIDIA's driver, or use the CPU"
    return None


def mps_problem() -> str | None:
    """Why an Apple GPU cannot be used here, as `cuda_problem`."""
    if sys.platform != "darwin":
        return "only macOS has Apple's GPUs"
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed; install it with pip install 'hemalum[gpu]'"
    import torch

    if not torch.backends.mps.is_available():
        return f"PyTorch {torch.__version__} sees no Apple GPU; use the CPU"
    return None


class TorchEngine:
    """See `Engine`.  One GPU; `precision` is that of the exported program, as its card says, with TF32 off.

    Args:
        model: the package; its card must list `model.pt2`.
        largest_batch: the most tiles tried in a batch.
        device: a torch device name: "cuda"; "mps", which no one has tested; "cpu" serves tests of this class on
            machines without a GPU.

    Raises:
        UsageError: no such GPU here, or the package has no exported program.
        DamagedModel: the program computes other maps than the stored ones.
    """

    def __init__(self, model: Model, largest_batch: int = 16, device: str = "cuda"):
        look = {"cuda": cuda_problem, "mps": mps_problem}.get(device, lambda: None)
        if problem := look():
            raise UsageError(problem)
        import torch

        if model.path("model.pt2") is None:
            raise UsageError(f"model {model.id} has no exported program for GPUs (model.pt2); use the CPU")
        self._torch, self._device, self._card = torch, torch.device(device), model.card
        self.notices: list[str] = []
        self.precision = model.card.precision.get("model.pt2", "fp32")
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        program = torch.export.load(io.BytesIO(model.verified("model.pt2")))
        # newer versions insist on guards that were made for the traced size; the graph itself holds for every size
        free = {"check_guards": False} if "check_guards" in inspect.signature(program.module).parameters else {}
        self._program = program.module(**free).to(self._device)
        self._fitting: dict[tuple[int, int], int] = {}  # tiles per batch for sizes of which fewer fit
        names = {"cuda": torch.cuda.get_device_name, "mps": lambda device: "Apple GPU"}
        name = names.get(self._device.type, lambda device: "CPU")(self._device)
        self.device = f"{name}, PyTorch {torch.__version__}"
        if self._device.type == "mps":
            self.notices.append("no one has tested Hemalum on an Apple GPU; only the model's stored tile was compared")
        if (stored := stored_tile(model)) is not None:
            pixels, maps = stored
            computed = self._forward(pixels[None])[0]
            same = agreement(computed, maps, model.card.thresholds["foreground"])
            problem = "" if same.close else f"other maps than the CPU (Dice {same.dice:.3f})"
            if not problem and not (nuclei := same_nuclei(computed, maps, model.card)).close:
                problem = f"other nuclei than the CPU ({nuclei})"
            if problem:
                raise DamagedModel(f"{self.device} finds {problem}; update driver and PyTorch, or use the CPU")
        self.batch = self._measured_batch(largest_batch)

    def maps(self, tiles: np.ndarray) -> np.ndarray:
        """`B×H×W×3` uint8 → `B×2×sH×sW` float32.

        Where memory runs out, batches of tiles of *this size* are halved: one run with huge tiles costs the others
        nothing.

        Raises:
            MemoryError: a single tile is too large for the GPU.
        """
        height, width = (side * self._card.output_scale for side in tiles.shape[1:3])
        tiles = fitted(tiles, self._card.input["multiple_of"])
        size = tiles.shape[1], tiles.shape[2]
        done, start = [], 0
        while start < len(tiles):
            part = tiles[start : start + self._fitting.get(size, self.batch)]
            try:
                done.append(self._forward(part)[:, :, :height, :width])
            except self._torch.OutOfMemoryError:
                self._torch.cuda.empty_cache()
                tile = f"{size[1]}×{size[0]} px"
                if len(part) == 1:
                    raise MemoryError(f"the GPU's memory is too small for a tile of {tile}") from None
                self._fitting[size] = len(part) // 2
                self.notices.append(
                    f"the GPU's memory ran out; batches of tiles of {tile} have {self._fitting[size]} from now on"
                )
                continue
            start += len(part)
        return done[0] if len(done) == 1 else np.concatenate(done)

    def _forward(self, tiles: np.ndarray) -> np.ndarray:
        torch = self._torch
        with torch.inference_mode():
            return self._program(torch.from_numpy(np.ascontiguousarray(tiles)).to(self._device)).float().cpu().numpy()

    def _measured_batch(self, largest: int) -> int:
        if self._device.type != "cuda":
            return 1
        best, cost, batch, side = 1, float("inf"), 1, self._card.core + 2 * self._card.halo
        while batch <= largest:
            tiles = np.zeros((batch, side, side, 3), np.uint8)
            try:
                self._forward(tiles)  # the first run of a shape also chooses kernels
                started = time.perf_counter()
                self._forward(tiles)
                per_tile = (time.perf_counter() - started) / batch
            except (self._torch.OutOfMemoryError, RuntimeError):
                self._torch.cuda.empty_cache()
                break
            if per_tile > 0.9 * cost:
                break
            best, cost, batch = batch, per_tile, batch * 2
        return best
