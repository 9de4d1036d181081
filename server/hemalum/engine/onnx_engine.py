"""ONNX Runtime on the CPU: the default engine, and the reference of all others.

Batch 1, a fixed number of threads and no spinning: so equal pixels give equal maps to the bit on one build, instruction
set and thread count, and a waiting engine costs no core.  One session serves every size of tile.

The int8 graph costs no accuracy and half the time where the processor has VNNI; elsewhere its sums can saturate.  So it
is used only when it finds the same nuclei as the stored fp32 maps on this very machine.

>>> from hemalum.models import find
>>> engine = OnnxEngine(find("nuclei"))
>>> engine.maps(np.zeros((1, 384, 300, 3), np.uint8)).shape
(1, 2, 384, 300)
"""

from __future__ import annotations

import numpy as np

from hemalum.compiled import cores
from hemalum.engine.base import agreement, fitted, stored_tile
from hemalum.engine.guard import same_nuclei
from hemalum.errors import DamagedModel, UsageError
from hemalum.models import Model


class OnnxEngine:
    """See `Engine`.

    Args:
        model: the package.
        threads: `intra_op` threads; `None` = the cores this process may use.
        precision: "auto" (int8 where it agrees), "fp32" or "int8".

    Raises:
        DamagedModel: a file differs from its sha256, cannot be loaded, or computes other maps than the stored ones.
        UsageError: int8 was asked for and there is none, or it does not agree.
    """

    batch = 1

    def __init__(self, model: Model, threads: int | None = None, precision: str = "auto"):
        import onnxruntime

        self.threads = threads or cores()
        self.notices: list[str] = []
        self._model = model
        has_int8 = model.path("model.int8.onnx") is not None
        if precision == "int8" and not has_int8:
            raise UsageError(f"model {model.id} has no int8 graph; choose precision fp32")
        self.precision = "int8" if has_int8 and precision != "fp32" else "fp32"
        if self.precision == "int8":
            self._session = open_session(model, "model.int8.onnx", self.threads)
            if problem := self._problem("model.int8.onnx"):
                if precision == "int8":
                    raise UsageError(f"{problem}; choose precision fp32")
                self.notices.append(f"{problem}; fp32 is used, which is slower")
                self.precision = "fp32"
        if self.precision == "fp32":
            self._session = open_session(model, "model.onnx", self.threads)
            # weights may be stored in half precision while the stored maps come from full ones, so only gross errors
            # stop the work
            if model.path("check.npz") is not None and (problem := self._problem("model.onnx")):
                raise DamagedModel(
                    f"model {model.id} computes other maps than the stored ones ({problem}); install it again"
                )
        threads_in_words = f"{self.threads} thread{'s' * (self.threads > 1)}"
        self.device = f"CPU, ONNX Runtime {onnxruntime.__version__}, {self.precision}, {threads_in_words}"

    def maps(self, tiles: np.ndarray) -> np.ndarray:
        """`B×H×W×3` uint8 → `B×2×sH×sW` float32."""
        height, width = (side * self._model.card.output_scale for side in tiles.shape[1:3])
        done = [self._run(tile)[:, :, :height, :width] for tile in fitted(tiles, self._model.card.input["multiple_of"])]
        return done[0] if len(done) == 1 else np.concatenate(done)

    def _run(self, tile: np.ndarray) -> np.ndarray:
        card = self._model.card
        return self._session.run([card.outputs["name"]], {card.input["name"]: np.ascontiguousarray(tile)[None]})[0]

    def _problem(self, name: str) -> str:
        """Why the loaded graph cannot be trusted on this machine, or ""; takes a third of a second."""
        stored = stored_tile(self._model)
        if stored is None:
            return f"model {self._model.id} has no stored tile to check {name} with"
        pixels, maps = stored
        computed, card = self._run(pixels)[0], self._model.card
        same = agreement(computed, maps, card.thresholds["foreground"])
        if not same.close:
            return f"{name} gives other maps than the stored ones on this processor (Dice {same.dice:.3f})"
        if (
            name == "model.onnx"
        ):  # there is nothing to fall back to, and rounding alone changes no more than a few nuclei
            return ""
        nuclei = same_nuclei(computed, maps, card)
        return "" if nuclei.close else f"{name} finds other nuclei than the stored ones on this processor ({nuclei})"


def open_session(model: Model, name: str, threads: int, output: str | None = None):
    """An `onnxruntime.InferenceSession` of the package's graph `name`.

    It takes the card's input and gives `output` (None: the card's).

    Raises:
        DamagedModel: the file differs from its sha256, cannot be loaded, or names its input or output otherwise.
    """
    import onnxruntime

    if hasattr(onnxruntime, "disable_telemetry_events"):  # for Windows, where the variable came later than the call
        onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # a plan of the memory for each size of tile: a third more of it, and no faster
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    content, file = model.verified(name), model.folder / name
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes share no public base
        reason = str(error).splitlines()[0]
        raise DamagedModel(f"{file} cannot be loaded ({reason}); install the model again") from error
    expected = model.card.input["name"], output or model.card.outputs["name"]
    for name_in_card, nodes in zip(expected, (session.get_inputs(), session.get_outputs()), strict=True):
        names = [node.name for node in nodes]
        if name_in_card not in names:
            raise DamagedModel(
                f"{file} has {', '.join(names)}, not {name_in_card!r} as its card says; write the card again"
            )
    return session
