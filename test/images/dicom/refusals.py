"""What is said of DICOM files, and files with other tags."""

from collections.abc import Callable
from pathlib import Path

import pytest
from dicom_phantom import edited
from pydicom.dataset import Dataset

from model.errors import UserError
from model.images.volume import read_volume


def refused(path: Path, *series: str) -> str:
    """Why no ADC map is read: one line."""
    with pytest.raises(UserError) as caught:
        read_volume(path, adc=True, series=series)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert "Error" not in message
    return message


def typed(path: Path, kind: Callable[[Dataset], str]) -> None:
    """Give each frame of a file an image type of its own, by the content of its functional group."""

    def edit(dataset: Dataset) -> None:
        del dataset.SharedFunctionalGroupsSequence[0].MRImageFrameTypeSequence
        for group in dataset.PerFrameFunctionalGroupsSequence:
            item = Dataset()
            item.FrameType = ["DERIVED", "PRIMARY", "DIFFUSION", kind(group.FrameContentSequence[0])]
            group.MRImageFrameTypeSequence = [item]

    edited([path], edit)
