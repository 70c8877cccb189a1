"""Warnings about odd inputs: none for the phantom and real cases, one sentence for each oddity."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from phantom import make_phantom

from model.errors import UserError
from model.images.case import Case, read_case, require_usable
from model.images.checks import warnings_of
from model.images.volume import Grid, Volume

PHANTOM = make_phantom()


def case(
    adc: np.ndarray = PHANTOM.adc,
    zadc: np.ndarray = PHANTOM.zadc,
    grid: Grid = PHANTOM.grid,
    oriented: bool = True,
    z_space: str = "scanner",
    **changes: str,
) -> Case:
    adc, zadc = (np.ascontiguousarray(voxels, dtype=np.float32) for voxels in (adc, zadc))
    return Case(Volume(adc, grid, Path("a.nii"), oriented), Volume(zadc, grid, Path("z.nii"), space=z_space), **changes)


def with_spacing(*spacing_mm: float) -> Grid:
    return dataclasses.replace(PHANTOM.grid, spacing_mm=spacing_mm)


def not_stripped() -> np.ndarray:
    """A skull and air around the brain."""
    return np.where(PHANTOM.adc == 0, 300, PHANTOM.adc).astype(np.float32)


def test_phantom_is_not_unusual():
    assert warnings_of(case()) == []


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (case(grid=with_spacing(3.0, 0.9, 0.9)), "expected 150 to 600 ml: is it a whole newborn's brain"),
        (case(grid=with_spacing(6.0, 2.0, 2.0)), "expected 150 to 600 ml: is it skull-stripped (--brain-mask applies"),
        (case(grid=with_spacing(7.0, 1.0, 1.0)), "Slices are 7 mm apart"),
        (case(zadc=PHANTOM.zadc * 2), "The Z map reaches 20, expected it clipped at 10"),
        (case(zadc=np.zeros_like(PHANTOM.zadc)), "100% of the voxels with ADC above 0 have a Z of exactly 0"),
        (case(adc=not_stripped()), "does not look skull-stripped"),
        (case(adc=not_stripped()), "ADC is above 0 in 100% of a side of the volume"),
        (case(oriented=False), "a.nii does not say how it lies in the patient"),
        (case(adc_unit="mm2/s"), "was converted from mm2/s"),
        (case(z_space="not known: b1000"), "A name says space-b1000, which is not known here: volumes may not be"),
        (case(z_space="template: dHCP"), "in a template's space (dHCP): volumes are the template's, not the patient's."),
    ],
)
def test_what_is_unusual_is_said(odd, words):
    assert any(words in sentence for sentence in warnings_of(odd))


def test_real_cases_are_not_unusual(real_cases):
    for files in real_cases:
        assert warnings_of(read_case(files.adc, files.zadc)) == [], files.name


def test_a_brain_that_no_newborn_has_is_refused():
    """The phantom's voxels, made ten times as long each way: a thousand times the volume."""
    grid = with_spacing(*(10 * mm for mm in PHANTOM.grid.spacing_mm))
    volume_ml = np.count_nonzero(PHANTOM.adc > 0) * np.prod(PHANTOM.grid.spacing_mm)  # times 1000, in 1000 mm3
    with pytest.raises(UserError, match=rf"a\.nii: its brain .* measures {volume_ml:.0f} ml .* expected at most 2000 ml"):
        require_usable(case(grid=grid))
    require_usable(case(grid=with_spacing(6.0, 2.0, 2.0)))  # a grown-up's is only warned of
