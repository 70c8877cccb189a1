"""Compressed voxels, counted before anything trusts them."""

import zlib

ZLIB = zlib.MAX_WBITS
GZIP = zlib.MAX_WBITS | 16  # zlib's stream within gzip's header and checksum


def require_plausible(compressed: int, promised: int) -> None:
    """Raise ValueError when there are far more bytes of compressed data than they can need; before they are read."""
    if compressed > 2 * promised + 1024:
        raise ValueError(f"{compressed} bytes of compressed data for {promised} bytes of voxels")


def require_length(found: int, promised: int) -> None:
    """Raise ValueError unless as many bytes of voxels are there as the header promises."""
    if found != promised:
        raise ValueError(f"the header promises {promised} bytes of voxels, found {'more' if found > promised else found}")


def decompressed_length(data: bytes, promised: int, wbits: int = ZLIB) -> int:
    """Bytes in the stream, counted no further than one more than `promised`; the stream's own checksum is verified.

    Raises ValueError when the stream is damaged, cut off or not all of the data.
    """
    stream = zlib.decompressobj(wbits)
    try:
        length = len(stream.decompress(data, promised + 1))
    except zlib.error as error:
        raise ValueError(f"the compressed data are damaged ({error})") from None
    if length <= promised and not stream.eof:
        raise ValueError("the compressed data end too early")
    if stream.unused_data:
        raise ValueError(f"{len(stream.unused_data)} bytes follow the compressed data")
    return length
