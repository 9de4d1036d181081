"""Pictures on the wire: raw RGB on fast links, PNG on slow ones, JPEG when a user chose it.

>>> import numpy as np
>>> picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
>>> for encoding in ("RGB", "PNG"):
...     assert (array_of(message_of(picture, encoding), "tile 0") == picture).all()
"""

from __future__ import annotations

import io

import numpy as np

from hemalum.errors import ProtocolError
from hemalum.v1 import nuclei_pb2 as pb

ENCODINGS = tuple(pb.Pixels.Encoding.keys())


def message_of(pixels: np.ndarray, encoding: str = "RGB") -> pb.Pixels:
    """`pixels` (uint8 h×w×3) as a message; `encoding` is "RGB", "PNG" or "JPEG" (quality 95)."""
    height, width = pixels.shape[:2]
    if encoding == "RGB":
        data = np.ascontiguousarray(pixels).tobytes()
    else:
        from PIL import Image

        buffer = io.BytesIO()
        options = {"compress_level": 1} if encoding == "PNG" else {"quality": 95, "subsampling": "4:2:0"}
        Image.fromarray(pixels).save(buffer, encoding, **options)
        data = buffer.getvalue()
    return pb.Pixels(width=width, height=height, encoding=pb.Pixels.Encoding.Value(encoding), data=data)


def array_of(message: pb.Pixels, what: str) -> np.ndarray:
    """The picture in a message, uint8 h×w×3 (not writeable where it came raw).

    Args:
        what: names the picture in error sentences ("tile 17", "the overview").

    Raises:
        ProtocolError: no pixels, an unknown encoding, or data that are not `width` × `height` pixels.
    """
    width, height = message.width, message.height
    if width < 1 or height < 1:
        raise ProtocolError(f"{what} has {width}×{height} px; send at least one pixel")
    if message.encoding == pb.Pixels.RGB:
        if len(message.data) != 3 * width * height:
            raise ProtocolError(
                f"{what} has {len(message.data)} bytes, but {width}×{height} px RGB are {3 * width * height}"
            )
        return np.frombuffer(message.data, np.uint8).reshape(height, width, 3)
    if message.encoding not in (pb.Pixels.PNG, pb.Pixels.JPEG):
        raise ProtocolError(f"{what} has encoding {message.encoding}, which is not known; send RGB, PNG or JPEG")
    from PIL import Image, UnidentifiedImageError

    name = pb.Pixels.Encoding.Name(message.encoding)
    try:
        with Image.open(io.BytesIO(message.data), formats=(name,)) as image:
            if image.size != (width, height):  # before anything is decoded: a small file may claim to be huge
                raise ProtocolError(
                    f"{what} is a {name} of {image.size[0]}×{image.size[1]} px, not {width}×{height} as announced"
                )
            return np.asarray(image.convert("RGB"))
    except UnidentifiedImageError:  # its own words name an object in memory
        raise ProtocolError(f"{what} is no {name}; send it in the encoding it is announced with") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ProtocolError(f"{what} cannot be decoded as {name} ({error})") from error


def mask_message(mask: np.ndarray) -> pb.Mask:
    """A bool h×w array, one bit a pixel."""
    return pb.Mask(width=mask.shape[1], height=mask.shape[0], bits=np.packbits(mask).tobytes())


def mask_of(bits: bytes, shape: tuple[int, int], what: str) -> np.ndarray:
    """The bool h×w array of `shape` in `bits`; `ProtocolError` where their number does not match."""
    count = shape[0] * shape[1]
    if len(bits) != -(-count // 8):
        raise ProtocolError(f"{what} has {len(bits)} bytes, but {shape[1]}×{shape[0]} bits are {-(-count // 8)}")
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=count).astype(bool).reshape(shape)
