"""Which cases a table holds, as people and spreadsheets write it."""

import pytest
from finding import LFS, NOT_FETCHED, only, require, table, tree

from model.errors import UserError
from model.inputs.cases import find_cases

FIRST = "expected a first line with the columns case,adc,zadc ("
UNUSABLE = [  # a table, and what is said with and without the option that estimates Z maps
    (
        "case,adc\na,b",
        f"{FIRST}commas, semicolons, tabs or bars between them), found case,adc; the column zadc may be",
        False,
    ),
    ("case,adc,zmap\na,b,c", "found case,adc,zmap; is zmap the column zadc?", False),
    ("case,adc,zadc,zadc\na,b,c,d", "expected each column once, found zadc more than once", False),
    ("case,adc, ADC,zadc\na,b,c,d", "expected each column once, found adc more than once", False),
    ("", "between them), found none", False),
    ("a;a.mha;z.mha", "tabs or bars between them), found a,a.mha,z.mha", False),
    ("case,adc,zadc", "no case found", False),
    ("case,zadc\none,a.mha", FIRST, True),
    ('case,adc,"zadc\na,b,c', "cannot be read as CSV", False),
    ('sep=;\ncase;adc;zadc\nx;;\na;"a.mha;b.mha', "cannot be read as CSV (line 4: unexpected end of data; is", True),
    # a quotation mark that is not closed takes lines together: none of them is passed over
    (
        'case,adc,zadc\na,"a.mha,b.mha\nb,a.mha,b.mha',
        "cannot be read as CSV (line 2: unexpected end of data; is a quotation mark",
        True,
    ),
    (
        'case,adc,zadc\na,"a.mha,b.mha\nb,a.mha",b.mha',
        "line 3: a line break in a cell; is a quotation mark not closed?",
        True,
    ),
    ('case,adc,zadc\na,"a.mha"b,b.mha', "cannot be read as CSV (line 2: ',' expected after '\"'; is", True),
]


@pytest.mark.parametrize(("text", "says", "estimate_z"), UNUSABLE)
def test_table_that_cannot_be_used(tmp_path, text, says, estimate_z):
    tree(tmp_path, "a.mha b.mha")
    table(tmp_path, "", text)
    with pytest.raises(UserError, match=r"cases\.csv") as error:
        find_cases(tmp_path, estimate_z=estimate_z)
    assert says in str(error.value)


# --- columns of other names ---


MAY_BE_Z = [
    ("zdac", "b.mha"),
    ("standardized", " b.mha"),
    ("adc_normalized", "maps\\c.mha"),
    ("source", "maps"),
    ("", "b.mha"),
]
LOST = [("zmap", "lost.nii.gz"), ("z", "lost/z"), ("zscore", "lost.DCM"), ("", "remark")]
MAY_BE_MASKS = [("mask", "b.mha"), ("mask_path", "lost/m.mha"), ("Maske", "b.mha"), ("bet mask", "lost.nii.gz")]


@pytest.mark.parametrize(("column", "cell"), [*MAY_BE_Z, *LOST, *MAY_BE_MASKS])
def test_column_that_may_hold_maps_or_masks_is_not_passed_over(tmp_path, column, cell):
    """One row of two has a value there; an empty column zadc does not say what it is."""
    tree(tmp_path, "a.mha b.mha maps/c.mha")
    table(tmp_path, f"one,a.mha\ntwo,a.mha,{cell}", f"case,adc,{column}")
    shown, hint = column.casefold() or "3, which has no name,", "brain_mask" if "mask" in column.casefold() else "zadc"
    with pytest.raises(UserError, match=rf"the column {shown} (names files|has values), .*; is it {hint}\?$"):
        find_cases(tmp_path, estimate_z=True)
    table(tmp_path, f"one,a.mha\ntwo,a.mha,{cell},", f"case,adc,{column},zadc")
    if cell == "remark":
        assert [case.problem for case in find_cases(tmp_path, estimate_z=True)] == ["", ""]
        return
    with pytest.raises(UserError, match=f"the column {shown} names files, which only adc, zadc and brain_mask may"):
        find_cases(tmp_path, estimate_z=True)


OF_SOMETHING_ELSE = [("site", "baby"), ("note", "x.mha"), ("mask", "yes"), ("site Z", "Zug"), ("z", "-2.5"), ("", " ")]


@pytest.mark.parametrize(("column", "cell"), OF_SOMETHING_ELSE)
def test_column_of_something_else_stops_no_table(tmp_path, column, cell):
    """A folder above the ADC map is the case's name; a name of a file that is not there is a remark."""
    tree(tmp_path, "baby/a.mha baby/z.mha")
    table(tmp_path, f"one,baby/a.mha,baby/z.mha,{cell}", f"case,adc,zadc,{column}")
    assert only(tmp_path) == {"one": ("baby/a.mha", "baby/z.mha")}
    table(tmp_path, f"one,baby/a.mha,{cell}", f"case,adc,{column}")
    (case,) = find_cases(tmp_path, estimate_z=True)
    assert (case.adc, case.zadc, case.problem) == (tmp_path / "baby" / "a.mha", None, "")


@pytest.mark.parametrize("column", ["Brain mask", "brainmask", " BRAIN-MASK "])
def test_spellings_of_the_column_of_brain_masks(tmp_path, column):
    tree(tmp_path, "a.mha z.mha m.mha")
    table(tmp_path, "one,a.mha,z.mha,m.mha", f"case,adc,zadc,{column}")
    assert find_cases(tmp_path)[0].brain_mask == tmp_path / "m.mha"
    table(tmp_path, "one,a.mha,z.mha,m.mha,", f"case,adc,zadc,{column},brain_mask")
    with pytest.raises(UserError, match="each column once, found brain_mask more than once"):
        find_cases(tmp_path)


# --- rows ---


ROWS = [  # a row before a good one, the case's name, and its problem
    *((f"{name},b,c", None, "cannot name a case") for name in ("../a", ".a", "summary.csv", "a\tb", "x" * 201)),
    ("bad,b", "bad", "line 2 has no zadc"),
    ("bad", "bad", "line 2 has no adc and no zadc"),
    (",b,c", "line 2", "line 2 has no case"),
    ("bad,b,c,,d", "bad", "line 2 has more than 4 values"),
    ("bad,b ,c", "bad", "/b '"),
    ('"bad ",b,c', "bad ", "begins or ends with a blank: 'bad '"),
    ("bad,folder,c", "bad", "/folder: a folder without DICOM, expected a file or a folder of DICOM"),
    ("bad,link,c", "bad", "link: a link to nowhere, which is not there"),
    ("bad,pointer,c", "bad", f"/pointer: {NOT_FETCHED}"),
    *(
        (f"a,{adc},c", "a", "^no such file: *write paths from the folder of cases.csv on")
        for adc in ("/data/adc.mha", "C:\\data\\adc.mha", "\\\\share\\adc.mha")
    ),
]


@pytest.mark.parametrize(("row", "name", "says"), ROWS)
def test_row_that_is_wrong_fails_that_case_alone(tmp_path, row, name, says):
    tree(tmp_path, "b c folder/x dicom/IM1.dcm link>nowhere")
    (tmp_path / "pointer").write_text(LFS)
    table(tmp_path, f'{row}\ngood,b,c,"seen\ntwice, on Monday"\nseries,dicom,c', "case,adc,zadc,remark")
    cases = only(tmp_path)
    assert (cases.pop("good"), cases.pop("series")) == (("b", "c"), ("dicom", "c"))
    ((found, problem),) = cases.items()
    assert found == (name or found)
    require(tmp_path, problem, says)


def test_umlaut_of_a_mac_in_a_table_of_windows(tmp_path):
    """A Mac stores u and its dots as two signs, Windows as one."""
    tree(tmp_path, "Mu\u0308ller.mha z.mha")
    (tmp_path / "cases.csv").write_text("case;adc;zadc\nx;M\u00fcller.mha;z.mha\n", encoding="cp1252")
    assert only(tmp_path) == {"x": ("Mu\u0308ller.mha", "z.mha")}


# --- the file itself ---


CELLS = [["case", "adc", "zadc"], ["Müller", "maps/one.mha", "maps/two.nrrd"], ["k", "maps/one.mha", "maps/two.nrrd"]]


def joined(delimiter: str, more: str = "", rows: list = CELLS) -> str:
    return "".join(f"{delimiter.join(row)}{more}\r\n" for row in rows)


WRITTEN = {
    "semicolons": joined(";").encode(),
    "tabs": joined("\t").encode(),
    "Excel's empty columns": joined(",", ",,").encode(),
    "upper case": joined(",").replace("case,adc", "CASE, Adc ").encode(),
    "UTF-8 with mark": joined(";").encode("utf-8-sig"),
    "UTF-16": joined("\t").encode("utf-16"),
    "UTF-16, big-endian": b"\xfe\xff" + joined(",").encode("utf-16-be"),
    "Windows' code page": joined(";").encode("cp1252"),
    "quoted": joined(",", rows=[[f'"{cell}"' for cell in row] for row in CELLS]).encode(),
    "blank lines": joined(",").replace("\r\n", "\r\n\r\n ,,\r\n").encode(),
    "old Mac": joined(",").replace("\r\n", "\r").encode(),
    "backslashes": joined(",").replace("maps/", "maps\\").encode(),
    "Excel's note of the delimiter": b"sep=;\r\n" + joined(";").encode(),
    "other columns between": joined(",", rows=[[row[0], "note", *row[1:]] for row in CELLS]).encode(),
    "a capital in the table's name": joined(",").encode(),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_table_as_spreadsheets_write_it(tmp_path, kind):
    tree(tmp_path, "maps/one.mha maps/two.nrrd other/adc.mha other/zmap.mha")
    name = "Cases.CSV" if "capital" in kind else "cases.csv"
    (tmp_path / name).write_bytes(WRITTEN[kind])
    expected = dict.fromkeys(("Müller", "k"), ("maps/one.mha", "maps/two.nrrd"))
    assert only(tmp_path) == expected
    (tmp_path / name).rename(tmp_path / "other.csv")
    assert only(tmp_path, "other.csv") == expected


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ("c1/adc.mha c1/zmap.mha cases.csv>gone.csv", r"cases\.csv: a link to gone\.csv, which is not there"),
        ("c1/adc.mha cases.csv Cases.CSV", r"expected one cases\.csv, found Cases\.CSV and cases\.csv$"),
        ("other.csv", "cannot be read as CSV"),
        ("", r"gone\.csv: no such file; a CSV is looked for in the input folder"),
    ],
)
def test_table_that_is_none(tmp_path, names, says):
    """Not passed over where cases lie beside it."""
    tree(tmp_path, names)
    if names == "other.csv":
        (tmp_path / names).write_bytes(b"\xff\xfe\x00")
    named = None if "cases.csv" in names else tmp_path / (names or "gone.csv")
    with pytest.raises(UserError, match=says):
        find_cases(tmp_path, named)
