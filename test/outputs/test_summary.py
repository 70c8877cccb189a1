"""The summary of a folder of cases, and names of cases that spreadsheets and file systems take for something else."""

import shutil

import pandas
import pytest
from folder_helpers import summary

from model.outputs.summary import cell


@pytest.mark.parametrize("names", [("baby1", "BABY1"), ("M\u00fcller", "Mu\u0308ller")])
def test_names_that_some_file_systems_take_for_one_are_refused(go, good, output, names):
    """A Mac's or a Windows machine's disk, which a container may see: one case would replace the other."""
    for name in names:
        (good / name).mkdir()
        for file in (good / "a").iterdir():
            shutil.copy(file, good / name)
    shutil.rmtree(good / "a")
    code, _, error = go(good)
    assert code == 2
    for name in names:
        assert f"{name}: found more than one {name}, expected each case once, and names that differ in more than" in error
    assert [name for name, row in summary(output).items() if row["status"] == "done"] == ["b"]


FORMULAS = [f"{sign}x+1" for sign in "=+-@\t\r'"]
NUMBERS = "007 1E5 3-4 1/2 TRUE Falsch 2024-01-05 5.1.2024 12:30 7% 1,5 (3) $5 MAR1 1-Sep #N/A".split()  # noqa: SIM905
NUMBERS += ["1 1/2", "10 am", "5 \u20ac", "Okt. 12", "3 M\u00e4rz 2024"]
TEXTS = ["baby1", "1a", "sub-01", "MGHNICU_456-VISIT_01", "Marie1", "May", "x", "", "007/lesions.mha", "x=1", "x'1"]


@pytest.mark.parametrize(
    ("sign", "name"),
    [(sign, name) for sign, names in (("'", FORMULAS), ("\t", NUMBERS), ("", TEXTS)) for name in names],
)
def test_a_cell_that_a_spreadsheet_would_convert_gets_a_sign_that_keeps_it_text(sign, name):
    assert cell(name) == f"{sign}{name}"


def test_summary_in_a_spreadsheet_and_in_pandas(go, good, output):
    """The mark says UTF-8 to Excel; between quotation marks a tab parts no columns."""
    (good / "a").rename(good / "007")
    (good / "b").rename(good / "=M\u00fcller")
    assert go(good)[0] == 0
    data = (output / "summary.csv").read_bytes()
    assert data.startswith('\ufeff"case",'.encode())
    assert b'\r\n"\t007","done",' in data
    table = pandas.read_csv(output / "summary.csv")
    assert table["case"].str.replace("^[\t']", "", regex=True).tolist() == ["007", "=M\u00fcller"]
    assert table["lesions"].tolist() == [2, 2]
    assert table["mask"][1] == "'=M\u00fcller/lesions.mha"
    assert (output / "=M\u00fcller" / "lesions.mha").is_file()
    assert go(good)[0] == 0  # it is known as this program's own
    assert [row["status"] for row in summary(output).values()] == ["done before"] * 2
