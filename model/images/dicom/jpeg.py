"""JPEG of all kinds that DICOM knows, by the GDCM that SimpleITK has, in a process of its own.

On some damaged streams its decoders end the process or take very long: that is a refusal of the file then, and the run goes
on. So do those that pydicom can use (GDCM's and OpenJPEG's Python packages, CharLS).

Run as a module it decodes: DICOM files of one frame come in, each behind its length in 8 bytes, and their stored numbers go
out as NumPy writes them, one frame after the other.
"""

import io
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from model.images.streams import memory_file

ROOT = Path(__file__).resolve().parents[3]  # where `model` lies
WORDS = (sys.executable, "-m", "model.images.dicom.jpeg")
LENGTH = 8  # bytes
SECONDS = 60, 0.5  # to begin with, and for each frame, of which a usual one takes a hundredth


def decoded(files: Sequence[bytes]) -> list[np.ndarray]:
    """The stored numbers of files of one frame each. Raises ValueError when one of them cannot be decoded."""
    sent = b"".join(len(data).to_bytes(LENGTH, "big") + data for data in files)
    seconds = SECONDS[0] + SECONDS[1] * len(files)
    try:
        done = subprocess.run(
            WORDS, cwd=ROOT, input=sent, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=seconds, check=True
        )
    except subprocess.SubprocessError:
        raise ValueError("the JPEG stream is damaged") from None
    received = io.BytesIO(done.stdout)
    return [np.load(received) for _ in files]


def main() -> None:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    data = io.BytesIO(sys.stdin.buffer.read())
    while length := data.read(LENGTH):
        with memory_file(data.read(int.from_bytes(length, "big"))) as name:
            reader.SetFileName(name)
            made = io.BytesIO()
            np.save(made, sitk.GetArrayFromImage(reader.Execute()))
            sys.stdout.buffer.write(made.getvalue())


if __name__ == "__main__":
    main()
