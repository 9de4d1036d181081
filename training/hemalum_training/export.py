"""A trained generator → a model package: `model.onnx`, `model.int8.onnx`, `weights.safetensors`, `check.npz`, `card.json`,
and `generator.onnx` where a cycle training taught a normalization decoder."""

from __future__ import annotations

import hashlib
import json
import tempfile
from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from hemalum.models import GENERATOR, Card

from .networks import Generator, GeneratorConfig
from .networks.encoders import CellConv2d, with_plain_kernels
from .replay import to_bytes, to_float

HALO = 64           # a multiple of the stride
WINDOW = 256        # px at 0.5 µm/px, as is HALO
LARGEST_NUCLEUS_UM = 30.0
RANGE = 8.0         # of the head's output: beyond a logit of 8 a probability is 0 or 1
QUANTIZED = ["Conv", "Relu", "Clip", "Concat", "Resize", "Add", "Mul"]
KEPT_FLOAT = "/transformer/"


class Deployed(nn.Module):
    """uint8 1×H×W×3 RGB → float32 1×2×sH×sW at 0.25 µm/px: foreground probability, distance 0…1.

    The input is a tile with its halo, which begins at a multiple of 128 µm, so that its first window begins with it.  Maps of a decoder
    at 0.5 µm/px are enlarged; a decoder of one channel gives its foreground in place of the distance, so that nuclei
    are its connected components and, where `part_um2` is set, their parts.

    The generator's copy computes the same in numbers that 8 bits hold: it sees (pixel - 128) / 127.5, which are the pixels themselves
    with a scale, and its head gives both channels within ±`RANGE`.  Folded pixels stay as they lie in memory, row, column, colour.
    """

    def __init__(self, generator: Generator):
        super().__init__()
        self.generator = deepcopy(generator)
        self.by_cells = generator.config.decoder == "pyramid"    # nothing but the encoder's first layer reads the image
        encoder, decoder = self.generator.encoder, self.generator.segmentation
        with_plain_kernels(encoder)
        with torch.no_grad():
            for part in (encoder,) if self.by_cells else (encoder, decoder.trunk.stem):
                (name, convolution), norm = _first(part, nn.Conv2d), _first(part, nn.BatchNorm2d)[1]
                norm.running_mean -= convolution.weight.sum((1, 2, 3)) * (0.5 / 127.5)
                if self.by_cells:
                    part.set_submodule(name, CellConv2d(convolution, generator.config.fold))
                else:
                    convolution.weight.copy_(convolution.weight.unflatten(1, (3, -1)).transpose(1, 2).flatten(1, 2))
            if generator.config.segmentation_channels > 1:
                distance = slice(decoder.scale**2, 2 * decoder.scale**2)
                decoder.head.weight[distance] *= 2 * RANGE
                decoder.head.bias[distance] = (decoder.head.bias[distance] - 0.5) * 2 * RANGE

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        (n, height, width, _), fold = pixels.shape, self.generator.config.fold
        if self.by_cells:
            folded = _first(self.generator.encoder, nn.Conv2d)[1].as_cells(pixels)
        else:
            rows = pixels.reshape(n, height // fold, fold, width // fold, 3 * fold).transpose(2, 3)
            folded = rows.reshape(n, height // fold, width // fold, 3 * fold**2).permute(0, 3, 1, 2)
        logits = self.generator.of_folded((folded.to(self.generator.reduce[0].weight.dtype) - 128) / 127.5)["segmentation"]
        foreground = logits[:, :1].sigmoid()
        distance = (logits[:, 1:2] / (2 * RANGE) + 0.5).clamp(0, 1) if logits.shape[1] > 1 else foreground
        maps = torch.cat([foreground, distance], 1)
        maps = maps if maps.dtype == torch.float32 else maps.float()
        return maps if self.generator.config.output_scale == 2 else F.interpolate(maps, scale_factor=2.0, mode="bilinear", align_corners=False)


def _first(part: nn.Module, kind: type) -> tuple[str, nn.Module]:
    return next((name, module) for name, module in part.named_modules() if isinstance(module, kind))


class Translating(nn.Module):
    """uint8 1×H×W×3 RGB → uint8 1×H×W×3 in domain Y's stain: the generator's normalization decoder, the source's S4."""

    def __init__(self, generator: Generator):
        super().__init__()
        self.generator = generator

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        translated = self.generator(to_float(pixels.permute(0, 3, 1, 2)), segmentation=False, normalized=True)["normalized"]
        return to_bytes(translated).permute(0, 2, 3, 1)


def load_generator(weights: Path) -> Generator:
    """The generator of a `weights.pt`, in evaluation mode."""
    state = torch.load(weights, weights_only=True, map_location="cpu")
    generator = Generator(GeneratorConfig(**state["config"]["network"]), imagenet=False)
    generator.load_state_dict(state["network"])
    return generator.eval()


def export_onnx(generator: Generator, path: Path, core: int = WINDOW, translating: bool = False) -> None:
    """Write the fp32 graph with symbolic H and W (batch 1), traced at one core of `core` px at 0.5 µm/px: `maps`, or `normalized` tiles."""
    module, output, rows = (Translating(generator), "normalized", 1) if translating else (Deployed(generator), "maps", 2)
    side = (core + 2 * HALO) * generator.config.fold
    pixels = torch.zeros(1, side, side, 3, dtype=torch.uint8)
    with torch.no_grad():
        torch.onnx.export(module.eval(), (pixels,), str(path), input_names=["pixels"], output_names=[output], opset_version=18, dynamo=False,
                          dynamic_axes={"pixels": {1: "H", 2: "W"}, output: {rows: "sH", rows + 1: "sW"}}, do_constant_folding=True)


def export_program(generator: Generator, path: Path) -> None:
    """Write `model.pt2` for the CUDA engine: half-precision weights and arithmetic, any batch, H and W any multiples of the stride from two on."""
    batch, rows, columns = torch.export.Dim("batch", min=1, max=64), *(torch.export.Dim(name, min=2, max=64) for name in "hw")
    module = Deployed(deepcopy(generator).half()).eval()
    stride = generator.config.stride
    pixels = torch.zeros(2, 11 * stride, 13 * stride, 3, dtype=torch.uint8)  # unequal sides: equal ones would be taken for one
    shape = {"pixels": {0: batch, 1: stride * rows, 2: stride * columns}}
    with torch.no_grad():
        program = torch.export.export(module, (pixels,), dynamic_shapes=shape, strict=False)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # names folders of the machine that exported it
    torch.export.save(program, path)


def halve_weights(source: Path, path: Path) -> None:
    """Store large float32 initializers as float16 followed by a Cast; the arithmetic stays float32."""
    model = onnx.load(source)
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and np.prod(tensor.dims) > 256:
            half = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(np.float16), tensor.name + ".half")
            casts.append(onnx.helper.make_node("Cast", [half.name], [tensor.name], to=onnx.TensorProto.FLOAT))
            tensor.CopyFrom(half)
    for node in reversed(casts):
        model.graph.node.insert(0, node)
    onnx.save(model, path)


def prepare(source: Path, path: Path) -> None:
    """Fold constants and give each padding to the convolution behind it, which spares a pass over the map and lets it be int8."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    quant_pre_process(str(source), str(path), skip_symbolic_shape=True)
    model = onnx.load(path)
    graph, constants = model.graph, {tensor.name: tensor for tensor in model.graph.initializer}
    users: dict[str, list] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    for node in [node for node in graph.node if node.op_type == "Pad" and node.input[1] in constants]:
        convolutions = users[node.output[0]]
        pads = onnx.numpy_helper.to_array(constants[node.input[1]]).tolist()
        if any(user.op_type != "Conv" for user in convolutions) or any(pads[:2] + pads[4:6]):
            continue
        for convolution in convolutions:
            own = next(a for a in convolution.attribute if a.name == "pads")
            own.ints[:] = [a + b for a, b in zip(own.ints, pads[2:4] + pads[6:8], strict=True)]
            convolution.input[0] = node.input[0]
        graph.node.remove(node)
    onnx.save(model, path)


def quantize(source: Path, path: Path, tiles: list[np.ndarray]) -> None:
    """Static int8 (QDQ, per channel, u8 activations, s8 weights, min–max over `tiles`, each uint8 T×T×3 of one shape) of a prepared graph.

    The transformer stays float: attention scores need more than 8 bits.  The image is read as the bytes it is, without any rounding, and
    the head's output has the scale that `Deployed` made it for.  Activations are named so that a convolution's range is that of what
    leaves its activation: half the rounding error, and a pass less over each map.
    """
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

    def scale(value: float) -> list[dict]:
        return [{"scale": np.array(value, np.float32), "zero_point": np.array(128, np.uint8), "quant_type": QuantType.QUInt8}]

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.items = iter(tiles)

        def get_next(self):
            tile = next(self.items, None)
            return None if tile is None else {"pixels": tile[None]}

    graph = onnx.load(source).graph
    image = next(n.input[0] for n in graph.node if n.op_type == "Conv")
    head = next(n.output[0] for n in graph.node if n.op_type == "Conv" and "/segmentation/head/" in n.name)
    quantize_static(str(source), str(path), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod.MinMax,
                    reduce_range=True, op_types_to_quantize=QUANTIZED, nodes_to_exclude=[n.name for n in graph.node if KEPT_FLOAT in n.name],
                    extra_options={"TensorQuantOverrides": {image: scale(1 / 127.5), head: scale(2 * RANGE / 255)}})
    _read_bytes(path, image)


def _read_bytes(path: Path, image: str) -> None:
    """Give a quantized graph's first layers the tile's own bytes instead of floats made from them and made bytes again."""
    model = onnx.load(path)
    graph, maker = model.graph, {name: node for node in model.graph.node for name in node.output}
    steps = [next(n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] == image)]
    while steps[-1].op_type != "Cast":
        steps.append(maker[steps[-1].input[0]])
    for node in graph.node:
        node.input[:] = [steps[-1].input[0] if name == steps[0].output[0] else name for name in node.input]
    for node in steps:
        graph.node.remove(node)
    onnx.save(model, path)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_card(folder: Path, card: dict, network: GeneratorConfig) -> None:
    """Write `card.json` with the fields every package of ours shares and the sha256 of its files; it is checked as a reader would."""
    full = {"version": "1", "mpp": network.mpp, "output_scale": 2 // network.fold, "halo": HALO * network.fold,
            "largest_nucleus_um": LARGEST_NUCLEUS_UM,
            "input": {"name": "pixels", "layout": "NHWC", "dtype": "uint8", "multiple_of": network.stride},
            "outputs": {"name": "maps", "channels": ["foreground", "distance"]},
            "precision": {"model.onnx": "fp16", "model.int8.onnx": "int8", "model.pt2": "fp16"}, **card,
            "files": {f.name: sha256(f) for f in sorted(folder.iterdir()) if f.name != "card.json"}}
    Card.from_dict(full)
    (folder / "card.json").write_text(json.dumps(full, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def export_package(weights: Path, out: Path, card: dict, tiles: list[np.ndarray], check_tile: np.ndarray, translates: bool = False) -> Path:
    """Write a whole model package into `out` and return it.

    Args:
        weights: `weights.pt` of a training run.
        card: the card's fields that are this model's own.
        tiles: calibration tiles, uint8 T×T×3 with T = 384 · fold.
        check_tile: uint8 T×T×3 stored with its maps, compared at every load.
        translates: the training taught the normalization decoder, too, so it is put in.
    """
    import onnxruntime as ort

    out.mkdir(parents=True, exist_ok=True)
    generator = load_generator(weights)
    with tempfile.TemporaryDirectory() as folder:
        full, prepared = Path(folder) / "full.onnx", Path(folder) / "prepared.onnx"
        export_onnx(generator, full)
        prepare(full, prepared)
        halve_weights(prepared, out / "model.onnx")
        quantize(prepared, out / "model.int8.onnx", tiles)
        if translates:
            export_onnx(generator, full, translating=True)
            halve_weights(full, out / GENERATOR)
    export_program(generator, out / "model.pt2")
    save_file({k: v.half().contiguous() if v.is_floating_point() else v for k, v in generator.state_dict().items()},
              out / "weights.safetensors", metadata={"network": json.dumps(generator.config.as_dict())})
    maps = ort.InferenceSession(str(out / "model.onnx"), providers=["CPUExecutionProvider"]).run(None, {"pixels": check_tile[None]})[0][0]
    with torch.no_grad():
        expected = Deployed(generator)(torch.from_numpy(check_tile[None]))[0].numpy()
    worst = float(np.abs(maps - expected).max())
    if worst > 0.02:
        raise ValueError(f"the exported graph differs from torch by {worst:.4f}")
    np.savez_compressed(out / "check.npz", pixels=check_tile, maps=maps.astype(np.float16))
    write_card(out, card, generator.config)
    return out
