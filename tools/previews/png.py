"""Makes a screenshot smaller: the commonest of its colours and no others. A drawing has few, and what lies between two of them
at the edge of a letter is not missed."""

import struct
import zlib
from collections import Counter

COLOURS = 64
# How far from each other, as the square of the distance.
APART = 150


def smaller(data):
    """The same picture with a palette."""
    width, height, channels, rows = _read(data)
    pixels = [[row[at : at + 3] for at in range(0, len(row), channels)] for row in rows]
    counted = Counter(pixel for row in pixels for pixel in row)
    palette = []
    for pixel, _ in counted.most_common():
        # What is almost another colour does not take the place of one that is rare, as that of a thin line.
        if len(palette) < COLOURS and all(_far(pixel, chosen) >= APART for chosen in palette):
            palette.append(pixel)
    nearest = {pixel: min(range(len(palette)), key=lambda number: _far(pixel, palette[number])) for pixel in counted}
    body = b"".join(b"\0" + bytes(nearest[pixel] for pixel in row) for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"PLTE", b"".join(palette)), (b"IDAT", zlib.compress(body, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _far(one, other):
    return sum((a - b) ** 2 for a, b in zip(one, other))


def _chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _read(data):
    """Width, height, bytes of a pixel, and the rows without their filters: of 8 bits a channel, as screenshots are."""
    at, packed = 8, b""
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, bits, colours, _, _, interlaced = struct.unpack(">IIBBBBB", content)
        elif kind == b"IDAT":
            packed += content
        at += 12 + length
    channels = {2: 3, 6: 4}[colours]
    if bits != 8 or interlaced:
        raise ValueError("not a screenshot")
    raw, stride = zlib.decompress(packed), width * channels
    rows, above = [], bytearray(stride)
    for number in range(height):
        start = number * (stride + 1)
        row = bytearray(raw[start + 1 : start + 1 + stride])
        _unfilter(raw[start], row, above, channels)
        rows.append(bytes(row))
        above = row
    return width, height, channels, rows


def _unfilter(kind, row, above, channels):
    """Undoes one of the five filters of the format, in place."""
    if kind == 0:
        return
    for at, value in enumerate(row):
        left = row[at - channels] if at >= channels else 0
        up, corner = above[at], above[at - channels] if at >= channels else 0
        if kind == 1:
            guess = left
        elif kind == 2:
            guess = up
        elif kind == 3:
            guess = (left + up) // 2
        else:
            distances = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
            guess = (left, up, corner)[distances.index(min(distances))]
        row[at] = (value + guess) & 255
