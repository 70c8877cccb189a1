"""A file's bytes, read once; compressed voxels, decompressed no further than the header promises."""

import contextlib
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from model.errors import UserError
from model.images.not_fetched import not_fetched, pointer

ZLIB = zlib.MAX_WBITS
GZIP = zlib.MAX_WBITS | 16  # zlib's stream within gzip's header and checksum
GZIP_MAGIC = b"\x1f\x8b"
MOST_BYTES = 288 << 20  # read of one file: twice the voxels of the largest volume as float64, and a header


@dataclass(frozen=True)
class FileBytes:
    """What was read of a file, and how long the file is."""

    data: bytes
    size: int


def read_file(path: Path) -> FileBytes:
    """All of a file; of one longer than MOST_BYTES the beginning, which holds the header.

    Raises OSError, and UserError for a file in the place of data that were not fetched.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(min(size, MOST_BYTES))  # Python sets aside as much as is asked for
    except FileNotFoundError:
        if reason := not_fetched(path):
            raise UserError(f"{path}: {reason}") from None
        raise
    if reason := pointer(data):
        raise UserError(f"{path}: {reason}")
    return FileBytes(data, size)


@contextlib.contextmanager
def plain_stream(file: FileBytes) -> Iterator[io.BytesIO | gzip.GzipFile]:
    """A file's bytes to be read one after the other, decompressed where they are gzip's, whatever the file's name.

    Raises ValueError when what is read of it is cut off or damaged.
    """
    stream = io.BytesIO(file.data)
    try:
        yield gzip.GzipFile(fileobj=stream) if file.data.startswith(GZIP_MAGIC) else stream
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"the compressed data are cut off or damaged ({error})") from None


class BoundedFile(io.BufferedReader):
    """A file that is read by a library which trusts the lengths in it: no more memory is set aside than the file is long."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self.size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1) -> bytes:
        return super().read(size if size is None else min(size, self.size))


@contextlib.contextmanager
def memory_file(*parts: bytes | memoryview) -> Iterator[str]:
    """A name under which a library can open bytes in memory; a temporary file where the system has no such files."""
    with _new_file() as file:
        for part in parts:
            file.write(part)
        file.flush()
        yield file.name if isinstance(file.name, str) else f"/proc/self/fd/{file.fileno()}"


def _new_file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("image"), "wb")
    import tempfile  # which costs 10 ms of a cold case

    return tempfile.NamedTemporaryFile()


def require_plausible(compressed: int, promised: int) -> None:
    """Raise ValueError when there are far more bytes of compressed data than they can need; before they are read."""
    if compressed > 2 * promised + 1024:
        raise ValueError(f"{compressed} bytes of compressed data for {promised} bytes of voxels")


def voxels_behind(file: FileBytes, start: int, promised: int, wbits: int | None = None) -> bytes | memoryview:
    """The uncompressed voxels behind a header, which begin at `start`: exactly as many bytes as the header promises.

    wbits: of the stream, where they are compressed. Raises ValueError where they are fewer or more.
    """
    data: bytes | memoryview = memoryview(file.data)[start:]
    found = file.size - start
    if wbits is not None:
        require_plausible(found, promised)
        data = _decompressed(data, promised, wbits)
        found = len(data)
    if found != promised:
        raise ValueError(f"the header promises {promised} bytes of voxels, found {'more' if found > promised else found}")
    return data


def _decompressed(data: bytes | memoryview, promised: int, wbits: int) -> bytes:
    """The stream's bytes, no more than one more than `promised`; the stream's own checksum is verified."""
    stream = zlib.decompressobj(wbits)
    try:
        found = stream.decompress(data, promised + 1)
    except zlib.error as error:
        raise ValueError(f"the compressed data are damaged ({error})") from None
    if len(found) <= promised and not stream.eof:
        raise ValueError("the compressed data end too early")
    if stream.unused_data:
        raise ValueError(f"{len(stream.unused_data)} bytes follow the compressed data")
    return found
