"""Surgery on an exported graph: half-precision weights, and 8-bit arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from hemalum_training.networks.deployed import RANGE

QUANTIZED = ["Conv", "Relu", "Clip", "Concat", "Resize", "Add", "Mul"]
KEPT_FLOAT = "/transformer/"


def halve_weights(source: Path, path: Path) -> None:
    """Store large float32 initializers as float16 followed by a Cast; the arithmetic stays float32."""
    model = onnx.load(source)
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and np.prod(tensor.dims) > 256:
            values = onnx.numpy_helper.to_array(tensor).astype(np.float16)
            half = onnx.numpy_helper.from_array(values, tensor.name + ".half")
            casts.append(onnx.helper.make_node("Cast", [half.name], [tensor.name], to=onnx.TensorProto.FLOAT))
            tensor.CopyFrom(half)
    for node in reversed(casts):
        model.graph.node.insert(0, node)
    onnx.save(model, path)


def prepare(source: Path, path: Path) -> None:
    """Fold constants and give each padding to the convolution behind it.

    That spares a pass over the map and lets it be int8.
    """
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
    """Static int8 of a prepared graph: QDQ, per channel, u8 activations, s8 weights, min–max over `tiles`.

    Tiles are uint8 T×T×3, of one shape.  Weights have 7 bits, so that pairs of products cannot saturate where a
    processor has no VNNI.

    The transformer stays float: attention scores need more than 8 bits.  The image is read as the bytes it is, without
    any rounding, and the head's output has the scale that `Deployed` made it for.  Activations are named so that a
    convolution's range is that of what leaves its activation: half the rounding error, and a pass less over each map.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    def scale(value: float) -> list[dict]:
        return [{"scale": np.array(value, np.float32), "zero_point": np.array(128, np.uint8),
                 "quant_type": QuantType.QUInt8}]

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.items = iter(tiles)

        def get_next(self):
            tile = next(self.items, None)
            return None if tile is None else {"pixels": tile[None]}

    graph = onnx.load(source).graph
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    image = convolutions[0].input[0]
    head = next(node.output[0] for node in convolutions if "/segmentation/head/" in node.name)
    quantize_static(str(source), str(path), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                    calibrate_method=CalibrationMethod.MinMax, op_types_to_quantize=QUANTIZED, reduce_range=True,
                    nodes_to_exclude=[node.name for node in graph.node if KEPT_FLOAT in node.name],
                    extra_options={"TensorQuantOverrides": {image: scale(1 / 127.5), head: scale(2 * RANGE / 255)}})
    _read_bytes(path, image)


def _read_bytes(path: Path, image: str) -> None:
    """Give a quantized graph's first layers the tile's own bytes, not floats made from them and made bytes again."""
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
