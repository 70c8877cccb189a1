"""Numbers of the pages as a reader of images writes them."""

import pytest

from model.report.numbers import deviations, percent, place, shown, volume, whole_percent

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("form", "value", "words"),
    [
        (volume, 99.96, "100"),
        (volume, 4.84, "4.8"),
        (volume, 0.0949, "0.09"),
        (volume, 0.0951, "0.1"),
        (volume, 0.005, "0.01"),
        (volume, 0.0049, "&lt;0.01"),
        (volume, 0, "0"),
        (percent, 0.00901, "0.9"),
        (percent, 0.00049, "&lt;0.1"),
        (percent, 0.0, "0"),
        (whole_percent, 0.9951, "&gt;99"),
        (whole_percent, 1.0, "100"),
        (whole_percent, 0.0049, "&lt;1"),
        (deviations, -3.14, f"{MINUS}3.1"),
        (deviations, 2.0, "2.0"),
        (volume, None, ""),
        (volume, "<b>", "&lt;b&gt;"),
    ],
)
def test_numbers_are_rounded_as_a_reader_wants_them(form, value, words):
    assert shown(form, value) == words


@pytest.mark.parametrize(
    ("from_centre_mm", "words"),
    [
        ((-25.4, -3.5, 12.0), "25 right, 4 anterior, 12 superior"),
        ((0.6, 8.4, -0.6), "1 left, 8 posterior, 1 inferior"),
        ((0.4, -0.4, 9.0), "9 superior"),
        ((0.0, 0.0, 0.0), "at the centre"),
        (None, "not known"),
    ],
)
def test_places_are_told_in_whole_millimetres(from_centre_mm, words):
    assert place(from_centre_mm) == words
