"""Image files: what their heads say, whether they are whole, and in other formats."""

import dataclasses
import io
import re

import numpy as np

FORMATS = ("jpeg", "png", "bmp", "gif", "webp")
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp"}
_CHANNELS = {"1": 1, "L": 1, "I": 1, "I;16": 1, "I;16B": 1, "LA": 2, "RGBA": 4}
_SAME = {"mpo": "jpeg"}  # Several in one file, as phones write; the first is read.
_QUALITY = 95
_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd8]")
MOVES = 2  # The flag of animation in a WebP.


class NoImageError(ValueError):
    """A file that is no image TensorFlow can decode, and why."""


@dataclasses.dataclass(frozen=True)
class Images:
    """What the images of one field are like, in one file of records.

    Attributes:
        heights: The least and the largest, in pixels.
        widths: Likewise.
        channels: Tuple of how many there are.
        formats: Tuple of "jpeg", "png", "bmp", "gif" or "webp".
        dtypes: Tuple of "uint8" or "uint16".
    """

    heights: tuple
    widths: tuple
    channels: tuple
    formats: tuple
    dtypes: tuple

    @property
    def shape(self):
        """The shape of all, `None` where they differ; mixed, they are read as colours."""
        sides = [
            low if low == high else None for low, high in (self.heights, self.widths)
        ]
        many = self.channels[0] if len(self.channels) == 1 else 3
        return (*sides, 4 if many == 2 else many)  # Grey with alpha TensorFlow has not.

    def __str__(self):
        sides = (
            f"{low}" if low == high else f"{low} to {high}"
            for low, high in (self.heights, self.widths)
        )
        return f"{' and '.join(self.formats).upper()}, {' x '.join(sides)} pixels"


def together(several):
    """Returns the `Images` of all of several."""
    several = list(several)

    def ends(name):
        sides = [side for one in several for side in getattr(one, name)]
        return (min(sides), max(sides))

    def each(name):
        return tuple(sorted({v for one in several for v in getattr(one, name)}))

    return Images(
        ends("heights"), ends("widths"), each("channels"), each("formats"), each("dtypes")
    )


def look(content):
    """Returns the `Images` of one image file.

    Args:
        content: Its bytes.

    Raises:
        NoImageError: For a file that is none, is of another format, is cut off, or is one
            that TensorFlow cannot decode.
    """
    image = _open(content)
    form = _form(image)
    if form not in FORMATS:
        raise NoImageError(f"is of the format {form}, not of {', '.join(FORMATS)}")
    if not _WHOLE[form](content):
        raise NoImageError("is cut off before its end")
    if form == "bmp" and image.mode == "P":
        raise NoImageError("is a BMP with a palette, which TensorFlow takes for grey")
    if form == "webp" and content[12:16] == b"VP8X" and content[20] & MOVES:
        raise NoImageError("is an animated WebP, of which TensorFlow dies")
    deep = image.mode.startswith("I")
    width, height = image.size
    channels = 3 if form in ("gif", "bmp") else _CHANNELS.get(image.mode, 3)
    channels = 4 if image.mode == "P" and "transparency" in image.info else channels
    dtype = "uint16" if deep else "uint8"
    return Images((height,) * 2, (width,) * 2, (channels,), (form,), (dtype,))


def is_one(content):
    """Returns whether a file begins as an image of a known format does, sound or not."""
    try:
        return _form(_open(content)) in FORMATS
    except NoImageError:
        return False


def converted(image, form):
    """Returns the bytes of an image, an array or a file, as a file of a format.

    A file that has it already stays as it is.
    """
    if isinstance(image, np.ndarray):
        return encode(image, form)
    return image if form in look(image).formats else encode(decode(image), form)


def encode(pixels, form):
    """Returns the bytes of an image file.

    Args:
        pixels: Array of a height, a width and 1, 3 or 4 channels, uint8.
        form: One of `FORMATS`.
    """
    from PIL import Image

    pixels = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    pixels = pixels[:, :, :3] if form in ("jpeg", "bmp") and pixels.ndim == 3 else pixels
    file = io.BytesIO()
    how = {"jpeg": {"quality": _QUALITY}, "webp": {"lossless": True}}
    Image.fromarray(pixels).save(file, form, **how.get(form, {}))
    return file.getvalue()


def decode(content, channels=None):
    """Returns the pixels of an image file: height, width and 1, 3 or 4 channels.

    Args:
        content: Its bytes.
        channels: How many. `None`: as many as it has.
    """
    seen = look(content)
    (many,), image = seen.channels, _open(content)
    channels = channels or (4 if many == 2 else many)
    try:
        if seen.dtypes == ("uint8",):
            image = image.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])
        pixels = np.asarray(image).astype(seen.dtypes[0])
    except (OSError, SyntaxError, ValueError) as error:
        raise NoImageError(f"cannot be decoded: {error}") from error
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def _open(content):
    from PIL import Image

    if not content:
        raise NoImageError("is empty")
    try:
        return Image.open(io.BytesIO(content))
    except Image.DecompressionBombError as error:
        raise NoImageError("is too large: see `PIL.Image.MAX_IMAGE_PIXELS`") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise NoImageError("is no image, or its head is damaged") from error


def _form(image):
    return _SAME.get(image.format.lower(), image.format.lower())


def _whole_jpeg(content):
    """Returns whether the first picture ends; phones append films, and more pictures."""
    found = _MARKER.search(content, 2)
    while found:
        marker, at = content[found.end() - 1], found.end()
        if marker == 0xD9:
            return True
        found = _MARKER.search(content, at + int.from_bytes(content[at : at + 2]))
    return False


def _whole_png(content):
    """Returns whether the last chunk is there; what others append does not matter."""
    at = 8
    while at + 12 <= len(content):
        kind = content[at + 4 : at + 8]
        at += 12 + int.from_bytes(content[at : at + 4])
        if kind == b"IEND":
            return at <= len(content)
    return False


def _as_long_as(offset, more):
    """Returns a test of the length that a file has written at its begin."""
    place = slice(offset, offset + 4)
    return lambda content: len(content) >= int.from_bytes(content[place], "little") + more


_WHOLE = {
    "jpeg": _whole_jpeg,
    "png": _whole_png,
    "gif": lambda content: b";" in content[-8:],
    "webp": _as_long_as(4, 8),
    "bmp": _as_long_as(2, 0),
}
