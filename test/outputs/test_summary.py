"""The summary of a folder of cases, and names of cases that spreadsheets and file systems take for something else."""

import os
import shutil
import unicodedata
from pathlib import Path

import pandas
import pytest
from folder_helpers import summary

from model.errors import UserError
from model.inputs.found_case import FoundCase
from model.outputs.names_apart import is_one_of, require_names_apart
from model.outputs.summary import cell, text_of


def without_capitals(name: str) -> str:
    return unicodedata.normalize("NFD", name.rstrip(".")).upper()


@pytest.mark.parametrize("names", [("baby1", "BABY1"), ("M\u00fcller", "Mu\u0308ller"), ("x", "x.")])
def test_names_that_are_one_to_the_file_system_of_the_output_are_refused(go, good, output, monkeypatch, names):
    """As on a Mac's or a Windows machine's disk, which a container may see. Elsewhere each case has its folder."""
    for old, new in zip("ab", names, strict=True):
        (good / old).rename(good / new)
    make = os.mkdir

    def make_without_capitals(path: Path, *mode: int, **more: int) -> None:
        if without_capitals(Path(path).name) in map(without_capitals, os.listdir(Path(path).parent)):
            raise FileExistsError(17, "File exists", str(path))
        make(path, *mode, **more)

    with monkeypatch.context() as patch:
        patch.setattr("os.mkdir", make_without_capitals)
        code, _, error = go(good)
    shown = map(ascii if "ller" in names[0] else str, sorted(names))
    assert code == 2
    assert f"{output}: expected a file system that tells the cases {' and '.join(shown)} apart, found one that" in error
    assert list(output.iterdir()) == []
    assert go(good)[0] == 0
    assert {path.name for path in output.iterdir()} == {*names, "summary.csv"}


def test_subjects_whose_sessions_would_share_a_folder_are_refused(output, monkeypatch):
    cases = [FoundCase("sub-a_ses-1", folder="sub-a/ses-1"), FoundCase("sub-A_ses-2", folder="sub-A/ses-2")]
    output.mkdir()
    require_names_apart(cases, output)
    monkeypatch.setattr("model.outputs.names_apart.are_one", lambda folder, *names: folder == output)
    with pytest.raises(UserError, match="tells the cases sub-A and sub-a apart"):
        require_names_apart(cases, output)
    require_names_apart([cases[0], FoundCase("sub-a_ses-2", folder="sub-a/ses-2")], output)


def test_a_case_spelt_otherwise_by_now_is_not_gone_where_its_folder_is_the_same(output):
    """A link stands for a file system without capitals."""
    (output / "baby1").mkdir(parents=True)
    assert not is_one_of("baby1", {"baby1": "Baby1"}, output)
    (output / "Baby1").symlink_to("baby1")
    assert is_one_of("baby1", {"baby1": "Baby1"}, output)
    assert not is_one_of("baby2", {"baby1": "Baby1"}, output)


@pytest.mark.parametrize("sign", "=+-@\t\r'")
def test_cell_that_begins_like_a_formula_is_text(sign):
    assert cell(f"{sign}x+1") == f"'{sign}x+1"
    assert cell(f"x{sign}1") == f"x{sign}1"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "007",
            "1E5",
            "3-4",
            "1/2",
            "1 1/2",
            "TRUE",
            "Falsch",
            "2024-01-05",
            "5.1.2024",
            "12:30",
            "10 am",
            "7%",
            "1.5",
            "1,5",
        ),
        *("(3)", "5 €", "$5", "MAR1", "1-Sep", "Okt. 12", "3 März 2024", "12345678901234567890", "#N/A"),
    ],
)
def test_name_that_a_spreadsheet_would_convert_is_text(name):
    assert cell(name) == f"\t{name}"
    assert text_of(cell(name)) == name


@pytest.mark.parametrize(
    "name", ["baby1", "1a", "sub-01", "MGHNICU_456-VISIT_01", "Marie1", "May", "x", "", "007/lesions.mha"]
)
def test_other_names_are_as_they_are(name):
    assert cell(name) == text_of(cell(name)) == name


def test_summary_in_a_spreadsheet_and_in_pandas(go, good, output):
    """The mark says UTF-8 to Excel; between quotation marks a tab parts no columns."""
    (good / "a").rename(good / "007")
    (good / "b").rename(good / "M\u00fcller")
    assert go(good)[0] == 0
    data = (output / "summary.csv").read_bytes()
    assert data.startswith('\ufeff"case",'.encode())
    assert b'\r\n"\t007","done",' in data
    table = pandas.read_csv(output / "summary.csv")
    assert [text_of(name) for name in table["case"]] == ["007", "M\u00fcller"]
    assert table["lesions"].tolist() == [2, 2]
    assert go(good)[0] == 0  # it is known as this program's own
    assert [row["status"] for row in summary(output).values()] == ["done before"] * 2


def test_names_that_begin_like_formulas(go, good, output):
    (good / "a").rename(good / "=1+1")
    (good / "b").rename(good / "-2")
    shutil.copytree(good / "-2", good / "@x")
    (good / "@x" / "adc.mha").unlink()
    assert go(good)[0] == 2
    rows = summary(output)
    assert list(rows) == ["'-2", "'=1+1", "'@x"]
    assert rows["'=1+1"]["mask"] == "'=1+1/lesions.mha"
    assert float(rows["'=1+1"]["lesion_volume_ml"]) == 0.009
    assert not [value for row in rows.values() for value in row.values() if value.startswith(tuple("=+-@\t\r"))]
    assert (output / "=1+1" / "lesions.mha").is_file()
    assert go(good)[0] == 2
    assert summary(output)["'=1+1"]["status"] == "done before"
