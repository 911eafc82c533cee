"""Compression: ClickHouse's own frames (`compress=1`, `decompress=1`) and HTTP's content encodings.

A stream that is cut short or broken is an error in every encoding: half an insert must not land.
"""

import bz2
import gzip
import lzma
import struct
import zlib

import lz4.block
import lz4.frame
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

from .errors import ClickHouseError, not_implemented

_FRAME = 1 << 20  # uncompressed bytes in one frame that we write
_MAX_FRAME = 1 << 30  # what we read
_NONE, _LZ4, _ZSTD = 0x02, 0x82, 0x90


def _checksum(body: bytes) -> bytes:
    # CityHash 1.0.2, the high 64 bits first.
    value = CityHash128(body)
    return struct.pack("<QQ", value >> 64, value & (2**64 - 1))


def frame_encode(data: bytes) -> bytes:
    out = []
    for at in range(0, len(data), _FRAME):
        raw = data[at : at + _FRAME]
        packed = lz4.block.compress(raw, store_size=False)
        body = struct.pack("<BII", _LZ4, len(packed) + 9, len(raw)) + packed
        out.append(_checksum(body) + body)
    return b"".join(out)


def frame_decode(chunks, check: bool = True):
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= 25:
            method, size, raw_size = struct.unpack_from("<BII", buffer, 16)
            if not 9 <= size <= _MAX_FRAME or raw_size > _MAX_FRAME:
                raise ClickHouseError(
                    271,
                    "CANNOT_DECOMPRESS",
                    "Size of the compressed block is out of bounds: not a ClickHouse compressed stream",
                )
            if len(buffer) < 16 + size:
                break
            body = bytes(buffer[16 : 16 + size])
            if check and bytes(buffer[:16]) != _checksum(body):
                raise ClickHouseError(
                    40, "CHECKSUM_DOESNT_MATCH", "Checksum doesn't match: corrupted data in compressed block"
                )
            if method == _LZ4:
                yield lz4.block.decompress(body[9:], uncompressed_size=raw_size)
            elif method == _ZSTD:
                yield zstandard.ZstdDecompressor().decompress(body[9:], max_output_size=raw_size)
            elif method == _NONE:
                yield body[9:]
            else:
                raise ClickHouseError(
                    89, "UNKNOWN_COMPRESSION_METHOD", f"Unknown compression method byte {method:#x}"
                )
            del buffer[: 16 + size]
    if buffer:
        raise ClickHouseError(33, "CANNOT_READ_ALL_DATA", f"Truncated compressed stream: {len(buffer)} bytes left")


# How each encoding makes a decompressor of one member or frame, and the error of a stream that ends within one.
_DECODERS = {
    "gzip": (lambda: zlib.decompressobj(47), 354, "ZLIB_INFLATE_FAILED"),
    "deflate": (lambda: zlib.decompressobj(47), 354, "ZLIB_INFLATE_FAILED"),
    "zstd": (lambda: zstandard.ZstdDecompressor().decompressobj(), 562, "ZSTD_DECODER_FAILED"),
    "lz4": (lz4.frame.LZ4FrameDecompressor, 546, "LZ4_DECODER_FAILED"),
    "xz": (lzma.LZMADecompressor, 33, "CANNOT_READ_ALL_DATA"),
    "bz2": (bz2.BZ2Decompressor, 33, "CANNOT_READ_ALL_DATA"),
}


def content_decoder(encoding: str | None):
    """A function over the chunks of a request's body; None if they are not encoded."""
    name = (encoding or "").strip().lower()
    name = "gzip" if name == "x-gzip" else name
    if name in ("", "identity"):
        return None
    if name not in _DECODERS:
        known = ", ".join(_DECODERS)
        raise not_implemented(f'Content-Encoding "{name}" is not supported by this front ({known} are)')
    make, code, error = _DECODERS[name]

    def run(chunks):
        decoder = make()
        for chunk in chunks:
            while chunk:
                if decoder.eof:  # another member follows
                    decoder = make()
                yield (decoder.decompress(chunk))
                chunk = (decoder.unused_data or b"") if decoder.eof else b""
        if not decoder.eof:
            raise ClickHouseError(code, error, f"Truncated {name} stream")

    return run


def content_encode(accept: str | None, data: bytes):
    """(encoding, encoded): the first of ours that the client accepts, or (None, data)."""
    accepted = [part.split(";")[0].strip().lower() for part in (accept or "").split(",")]
    encoders = {
        "zstd": lambda: zstandard.ZstdCompressor(level=1).compress(data),
        "lz4": lambda: lz4.frame.compress(data),
        "gzip": lambda: gzip.compress(data, 3),
        "deflate": lambda: zlib.compress(data, 3),
    }
    for name, encode in encoders.items():
        if name in accepted:
            return name, encode()
    return None, data
