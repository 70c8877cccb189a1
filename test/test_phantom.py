"""The invented case: committed as its code makes it, and as awkward as real files."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from phantom import LEFTOVERS, SOCKETS, make_phantom

from model.images.case import read_case

CASE = Path(__file__).parent / "case"
ZADC_FILE, ADC_FILE = (CASE / "input" / where / name for _, where, name in SOCKETS.values())


@pytest.fixture(scope="module")
def phantom():
    return make_phantom()


@pytest.mark.parametrize(("path", "name"), [(ADC_FILE, "adc"), (ZADC_FILE, "zadc"), (CASE / "label.mha", "label")])
def test_committed_file_equals_a_fresh_phantom(phantom, path, name):
    image = sitk.ReadImage(str(path))
    np.testing.assert_allclose(sitk.GetArrayFromImage(image), getattr(phantom, name), rtol=0, atol=1e-6)
    assert image.GetPixelIDTypeAsString() == ("8-bit unsigned integer" if name == "label" else "32-bit float")
    assert image.GetSize() == phantom.grid.size[::-1]
    assert image.GetSpacing() == phantom.grid.spacing_mm[::-1]
    np.testing.assert_allclose(image.GetOrigin(), phantom.grid.origin_mm, rtol=0, atol=1e-9)
    np.testing.assert_allclose(image.GetDirection(), phantom.grid.direction, rtol=0, atol=1e-5)


def test_committed_case_reads_although_its_headers_differ():
    case = read_case(ADC_FILE, ZADC_FILE)
    assert 0 < np.abs(np.subtract(case.adc.grid.direction, case.zadc.grid.direction)).max() < 1e-4
    assert LEFTOVERS.keys() <= set(sitk.ReadImage(str(ADC_FILE)).GetMetaDataKeys())
