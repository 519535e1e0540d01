"""Walk through the elements of a DICOM file by their lengths, which GDCM trusts."""

import mmap
import struct
import zlib
from pathlib import Path

_IMPLICIT, _DEFLATED, _BIG_ENDIAN = (
    f"1.2.840.10008.1.2{rest}".encode() for rest in ("", ".1.99", ".2")
)
_SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SYNTAX, _PIXELS = (0x0002, 0x0010), (0x7FE0, 0x0010)
_DELIMITED = 0xFFFFFFFF
"""Length of a value that ends at a delimiter."""
_MOST_INFLATED_BYTES = 1 << 28
_MOST_ELEMENTS = 1 << 19
"""An enhanced CT of 10,000 frames has fewer; a file of zeros has one every 8 bytes."""

_Content = bytes | mmap.mmap


class BrokenElementError(ValueError):
    """A value is longer than what is left of the file, or there are too many of them."""


def pixel_bytes(path: Path) -> int | None:
    """Return the length of the pixel data in a DICOM file, ``None`` if it is compressed.

    Pixel data of nested items, such as icons, do not count. A file without pixel data has 0 bytes.

    Raises:
        BrokenElementError: A length, of pixel data or of anything before them, leads past the end
            of the file. GDCM would reserve that much memory, up to 4 GiB.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = 132 if content[128:132] == b"DICM" else 0
        syntax, start = _read_meta(content, start)
        if syntax == _DEFLATED:
            inflated = zlib.decompressobj(-zlib.MAX_WBITS)
            try:
                dataset = inflated.decompress(content[start:], _MOST_INFLATED_BYTES)
            except zlib.error as error:
                raise BrokenElementError(str(error)) from error
            return _find_pixels(dataset, 0, "<", explicit=True)
        order = ">" if syntax == _BIG_ENDIAN else "<"
        return _find_pixels(content, start, order, explicit=syntax != _IMPLICIT)


def _read_meta(content: _Content, at: int) -> tuple[bytes, int]:
    """Return the transfer syntax of a file, and where its dataset starts."""
    syntax = b""
    while content[at : at + 2] == b"\x02\x00":
        tag, _, value, length = _element(content, at, "<", explicit=True)
        at = value + length
        if tag == _SYNTAX:
            syntax = content[value:at].rstrip(b" \0")
    return syntax, at


def _find_pixels(content: _Content, at: int, order: str, *, explicit: bool) -> int | None:
    """Step through all elements, those inside sequences too, up to the pixel data."""
    delimited = len(content) + 1
    ends: list[int] = []  # of the sequences and items around the element
    for _ in range(_MOST_ELEMENTS):
        if at + 8 > len(content):
            return 0
        while ends and ends[-1] <= at:
            ends.pop()
        tag, kind, value, length = _element(content, at, order, explicit=explicit)
        if tag == _PIXELS and not ends:
            return None if length == _DELIMITED else length
        if tag[0] == 0xFFFE and tag[1] != 0xE000:
            at = value
            if ends and ends[-1] == delimited:
                ends.pop()
        elif length == _DELIMITED or kind == b"SQ" or tag[0] == 0xFFFE:
            ends.append(delimited if length == _DELIMITED else value + length)
            at = value
        else:
            at = value + length
    raise BrokenElementError(f"more than {_MOST_ELEMENTS} elements")


def _element(
    content: _Content, at: int, order: str, *, explicit: bool
) -> tuple[tuple[int, int], bytes, int, int]:
    """Return tag, kind, start and length of the value of an element."""
    try:
        group, element, kind, short = struct.unpack_from(f"{order}HH2sH", content, at)
        if not explicit or group == 0xFFFE or kind not in _SHORT | _LONG:
            kind, value = b"", at + 8
            (length,) = struct.unpack_from(f"{order}I", content, at + 4)
        elif kind in _SHORT:
            value, length = at + 8, short
        else:
            value = at + 12
            (length,) = struct.unpack_from(f"{order}I", content, at + 8)
    except struct.error as error:
        raise BrokenElementError(str(error)) from error
    if length != _DELIMITED and value + length > len(content):
        found = f"({group:04x},{element:04x}) of {length} bytes"
        raise BrokenElementError(f"{found} in {len(content) - value} bytes")
    return (group, element), kind, value, length
