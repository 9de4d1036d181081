"""ONNX Runtime on the CPU: the default engine, and the reference of all others.

One static shape (the graph's symbolic H and W are fixed when it is loaded), batch 1, a fixed number of threads and no spinning:
so equal pixels give equal maps to the bit on one build, instruction set and thread count, and a waiting engine costs no core.

The int8 graph costs no accuracy and half the time where the processor has VNNI; elsewhere its sums can saturate.  So it is used
only when it finds the same foreground as the stored fp32 maps on this very machine.

>>> from hemalum.models import list_models
>>> for model in list_models():
...     engine = OnnxEngine(model, tile=384)
...     assert engine.maps(np.zeros((1, 384, 384, 3), np.uint8)).shape == (1, 2, 768, 768)
"""

from __future__ import annotations

import numpy as np

from hemalum.engine.base import agreement, cores, stored_tile
from hemalum.errors import DamagedModel, UsageError
from hemalum.models import Model

_int8_agrees: dict[tuple[str, int], tuple[bool, str]] = {}


class OnnxEngine:
    """See `Engine`.

    Args:
        model: the package.
        tile: T, a multiple of the card's `input.multiple_of`.
        threads: `intra_op` threads; `None` = the cores this process may use.
        precision: "auto" (int8 where it agrees), "fp32" or "int8".

    Raises:
        DamagedModel: a file differs from its sha256, cannot be loaded, or computes other maps than the stored ones.
        UsageError: `tile` does not fit the network, or int8 was asked for and there is none.
    """

    batch = 1

    def __init__(self, model: Model, tile: int, threads: int | None = None, precision: str = "auto"):
        import onnxruntime

        multiple = model.card.input["multiple_of"]
        if tile <= 0 or tile % multiple:
            raise UsageError(f"model {model.id} takes tiles whose side is a multiple of {multiple} px, not {tile}")
        self.tile, self.threads = tile, threads or cores()
        self.scale = model.card.output_scale
        self.notices: list[str] = []
        self._model = model
        has_int8 = model.path("model.int8.onnx") is not None
        if precision == "int8" and not has_int8:
            raise UsageError(f"model {model.id} has no int8 graph; choose precision fp32")
        self.precision = "int8" if has_int8 and precision != "fp32" and self._int8_is_close(required=precision == "int8") else "fp32"
        self._session = self._load("model.int8.onnx" if self.precision == "int8" else "model.onnx", tile)
        self.device = f"CPU, ONNX Runtime {onnxruntime.__version__}, {self.precision}, {self.threads} thread{'s' * (self.threads > 1)}"
        if self.precision == "fp32":
            self._check_fp32()

    def maps(self, tiles: np.ndarray) -> np.ndarray:
        """`B×T×T×3` uint8 → `B×2×sT×sT` float32."""
        expected = (len(tiles), self.tile, self.tile, 3)
        if tiles.shape != expected or tiles.dtype != np.uint8:
            raise ValueError(f"tiles must be uint8 {expected}, not {tiles.dtype} {tiles.shape}")
        done = [self._run(self._session, tile) for tile in tiles]
        return done[0] if len(done) == 1 else np.concatenate(done)

    def _run(self, session, tile: np.ndarray) -> np.ndarray:
        card = self._model.card
        return session.run([card.outputs["name"]], {card.input["name"]: np.ascontiguousarray(tile)[None]})[0]

    def _load(self, name: str, tile: int):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.force_spinning_stop", "1")
        for symbol in ("H", "W"):
            options.add_free_dimension_override_by_name(symbol, tile)
        try:
            return onnxruntime.InferenceSession(self._model.verified(name), options, providers=["CPUExecutionProvider"])
        except DamagedModel:
            raise
        except Exception as error:  # onnxruntime's own classes share no public base
            raise DamagedModel(
                f"{self._model.folder / name} cannot be loaded ({str(error).splitlines()[0]}); install the model again"
            ) from error

    def _int8_is_close(self, required: bool) -> bool:
        key = (self._model.digest, self.threads)
        if key not in _int8_agrees:
            stored = stored_tile(self._model)
            if stored is None:
                _int8_agrees[key] = False, f"model {self._model.id} has no stored tile to check its int8 graph with; fp32 is used"
            else:
                found = agreement(self._compute("model.int8.onnx", stored[0]), stored[1], self._model.card.thresholds["foreground"])
                sentence = f"int8 gives other maps than fp32 on this processor (Dice {found.dice:.3f}); fp32 is used, which is slower"
                _int8_agrees[key] = found.close, sentence
        agrees, sentence = _int8_agrees[key]
        if not agrees and required:
            raise UsageError(sentence.replace("; fp32 is used, which is slower", "; choose precision fp32"))
        if not agrees:
            self.notices.append(sentence)
        return agrees

    def _check_fp32(self) -> None:
        stored = stored_tile(self._model)
        if stored is None:
            return
        found = agreement(self._compute("model.onnx", stored[0]), stored[1], self._model.card.thresholds["foreground"])
        # weights may be stored in half precision while the stored maps come from full ones, so only gross errors stop the work
        if not found.close:
            raise DamagedModel(f"model {self._model.id} computes other maps than the stored ones (Dice {found.dice:.3f}); install it again")

    def _compute(self, name: str, pixels: np.ndarray) -> np.ndarray:
        session = (
            self._session
            if getattr(self, "precision", "") == "fp32" and pixels.shape[0] == self.tile
            else self._load(name, pixels.shape[0])
        )
        return self._run(session, pixels)[0]
