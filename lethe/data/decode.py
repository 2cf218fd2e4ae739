"""From Arrow columns to the float32 inputs that a network sees."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lethe.data.errors import FormError

# What Pillow may try on bytes of unknown origin; its rarer decoders are not worth their risk.
IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")


def input_column(schema: pa.Schema, path: str) -> str:
    """The name of the column with inputs, `x` or `image`.

    Raises:
        FormError: if a column that every data set has is missing or of another type.
    """
    names = set(schema.names)
    missing = [name for name in ("sample_id", "label") if name not in names]
    if not names & {"x", "image"}:
        missing.append("x (or image)")
    if missing:
        raise FormError(
            f"{path} lacks the column {', '.join(missing)}. Nothing was read. "
            "`lethe data import` writes files in the right form."
        )
    name = "x" if "x" in names else "image"
    kind = schema.field(name).type
    tensor = isinstance(kind, pa.FixedShapeTensorType) and kind.value_type in (
        pa.float32(),
        pa.uint8(),
    )
    encoded = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    if not (tensor if name == "x" else encoded):
        raise FormError(
            f"Column {name} of {path} is {kind}; it must be a fixed-shape tensor of float32 or "
            "uint8 (x) or binary (image). Nothing was read. `lethe data import` writes files in "
            "the right form."
        )
    return name


def input_shape(schema: pa.Schema, declared: tuple[int, ...] | None) -> tuple[int, ...]:
    """Shape of one input; images are (channels, height, width) as the data set declares.

    Raises:
        FormError: if the shape of images is not declared.
    """
    if "x" in schema.names:
        kind = schema.field("x").type
        return tuple(kind.shape[axis] for axis in kind.permutation or range(len(kind.shape)))
    if declared is None or len(declared) != 3 or declared[0] not in (1, 3):
        raise FormError(
            "The data set holds encoded images but does not declare their shape. Nothing was "
            "read. Import it with `lethe data import images`."
        )
    return declared


def decode(column: pa.Array, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Inputs as (N, *shape) float32; bytes, in tensors and images alike, are divided by 255."""
    if isinstance(column, pa.FixedShapeTensorArray):
        values: npt.NDArray[Any] = column.to_numpy_ndarray()
    else:
        values = np.empty((len(column), *shape), np.uint8)
        for row, encoded in enumerate(column):
            values[row] = decode_image(encoded.as_py(), shape)
    if values.dtype == np.uint8:
        return values.astype(np.float32) / np.float32(255)
    return values


def decode_image(encoded: bytes, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """One picture as (channels, height, width) uint8.

    Raises:
        FormError: if the bytes are no picture, or one of another size.
    """
    from PIL import Image, UnidentifiedImageError

    channels, height, width = shape
    try:
        with Image.open(io.BytesIO(encoded), formats=IMAGE_FORMATS) as image:
            if image.size != (width, height):
                raise FormError(
                    f"A picture is {image.width} x {image.height}, the data set declares "
                    f"{width} x {height}. Nothing was changed. Import it again with "
                    f"`lethe data import images --size {height}x{width}`."
                )
            pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise FormError(
            "A picture in the data set cannot be decoded. Nothing was changed. Import the data "
            "set again with `lethe data import images`."
        ) from error
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
