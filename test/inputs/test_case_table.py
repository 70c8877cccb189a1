"""Which cases a table holds, as people and spreadsheets write it."""

import pytest
from finding import LFS, NOT_FETCHED, only, require, table, tree

from model.errors import UserError
from model.inputs.cases import find_cases

GOOD = {"good": ("b", "c")}


def test_a_table_in_the_folder_or_named(tmp_path):
    tree(tmp_path, "maps/one.mha maps/two.nrrd c1/adc.mha c1/zmap.mha")
    rows = "k,maps/one.mha,maps/two.nrrd,x\ng,maps/gone.mha,maps/two.nrrd,"
    expected = {"k": ("maps/one.mha", "maps/two.nrrd"), "g": f"no such file: {tmp_path}/maps/gone.mha"}
    table(tmp_path, rows, "\ufeffcase,adc,zadc,note")
    assert only(tmp_path) == expected
    (tmp_path / "cases.csv").rename(tmp_path / "other.csv")
    assert only(tmp_path, "other.csv") == expected


FIRST = "expected a first line with the columns case,adc,zadc ("
UNUSABLE = [  # a table, and what is said with and without the option that estimates Z maps
    ("case,adc\na,b", FIRST, False),
    ("case,adc\na,b", "bars between them), found case,adc; the column zadc may be missing with --estimate-z", False),
    ("case,adc,zmap\na,b,c", "bars between them), found case,adc,zmap; is zmap the column zadc?", False),
    ("case,adc,zadc,zadc\na,b,c,d", "expected each column once, found zadc more than once", False),
    ("case,adc, ADC,zadc\na,b,c,d", "expected each column once, found adc more than once", False),
    ("", "between them), found none", False),
    ("a;a.mha;z.mha", "tabs or bars between them), found a,a.mha,z.mha", False),
    ("case,adc,zadc", "no case found", False),
    ('case,adc,"zadc\na,b,c', "cannot be read as CSV", False),
    ("case,zadc\none,a.mha", FIRST, True),
    ("adc\na.mha", FIRST, True),
    *(
        (f"case,adc,{name}\none,a.mha,b.mha", f"the column {name.casefold()} names files, ", True)
        for name in ("zmap", "Z score", "z", "z_adc")
    ),
]


@pytest.mark.parametrize(("text", "says", "estimate_z"), UNUSABLE)
def test_table_that_cannot_be_used(tmp_path, text, says, estimate_z):
    tree(tmp_path, "a.mha b.mha")
    table(tmp_path, "", text)
    with pytest.raises(UserError, match=r"cases\.csv") as error:
        find_cases(tmp_path, estimate_z=estimate_z)
    assert says in str(error.value)


@pytest.mark.parametrize("last", ["", "zadc"])
def test_table_without_z_maps_where_they_are_estimated(tmp_path, last):
    tree(tmp_path, "a.mha b.mha")
    table(tmp_path, "one,a.mha,\ntwo,b.mha,", f"case,adc,{last}")
    cases = [case.for_options(estimate_z=True, use_mask=False) for case in find_cases(tmp_path, estimate_z=True)]
    assert [(case.name, case.adc, case.zadc, case.problem) for case in cases] == [
        (name, tmp_path / path, None, "") for name, path in (("one", "a.mha"), ("two", "b.mha"))
    ]


# --- columns of other names ---


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        *(
            ("zdac", "b.mha"),
            ("standardized", " b.mha"),
            ("adc_normalized", "maps\\c.mha"),
            ("source", "maps"),
            ("", "b.mha"),
        ),
        *(("zmap", "lost.nii.gz"), ("z", "lost/z"), ("zscore", "lost.DCM"), ("", "remark")),
    ],
)
def test_column_that_may_hold_the_z_maps_is_not_passed_over(tmp_path, column, cell):
    """One row of two has a value there; an empty column zadc does not say what it is."""
    tree(tmp_path, "a.mha b.mha maps/c.mha")
    table(tmp_path, f"one,a.mha\ntwo,a.mha,{cell}", f"case,adc,{column}")
    shown = column or "3, which has no name,"
    with pytest.raises(UserError, match=rf"the column {shown} (names files|has values), .*; is it zadc\?$"):
        find_cases(tmp_path, estimate_z=True)
    table(tmp_path, f"one,a.mha\ntwo,a.mha,{cell},", f"case,adc,{column},zadc")
    if cell == "remark":
        assert [case.problem for case in find_cases(tmp_path, estimate_z=True)] == ["", ""]
        return
    with pytest.raises(UserError, match=f"the column {shown} names files, which only adc, zadc and brain_mask may"):
        find_cases(tmp_path, estimate_z=True)


@pytest.mark.parametrize("estimate_z", [False, True])
@pytest.mark.parametrize(
    ("column", "cell"),
    [
        *(
            ("mask", "m.mha"),
            ("mask_path", "lost/m.mha"),
            ("Maske", "m.mha"),
            ("brain", "m.mha"),
            ("bet mask", "lost.nii.gz"),
        ),
        *(("lesion", "m.mha"), ("t2", " m.mha"), ("", "m.mha"), ("series", "dicom")),
    ],
)
def test_column_of_files_by_another_name_is_refused(tmp_path, column, cell, estimate_z):
    tree(tmp_path, "a.mha z.mha m.mha dicom/1.dcm")
    table(tmp_path, f"one,a.mha,z.mha\ntwo,a.mha,z.mha,{cell}", f"case,adc,zadc,{column}")
    shown = column.casefold() or "4, which has no name,"
    with pytest.raises(UserError, match=f"the column {shown} names files, which only ") as error:
        find_cases(tmp_path, estimate_z=estimate_z)
    assert str(error.value).endswith("; is it brain_mask?") == any(word in column for word in ("mas", "Mas", "brain"))


@pytest.mark.parametrize("column", ["Brain mask", "brainmask", "BrainMask", "brain-mask", " BRAIN_MASK "])
def test_spellings_of_the_column_of_brain_masks(tmp_path, column):
    tree(tmp_path, "a.mha z.mha m.mha")
    table(tmp_path, "one,a.mha,z.mha,m.mha", f"case,adc,zadc,{column}")
    assert find_cases(tmp_path)[0].brain_mask == tmp_path / "m.mha"
    table(tmp_path, "one,a.mha,z.mha,m.mha,", f"case,adc,zadc,{column},brain_mask")
    with pytest.raises(UserError, match="each column once, found brain_mask more than once"):
        find_cases(tmp_path)


@pytest.mark.parametrize(("column", "cell"), [("subject", "baby"), ("site", "Bern"), ("note", "x.mha"), ("mask", "yes")])
def test_column_of_something_else_stops_no_table(tmp_path, column, cell):
    """A folder above the ADC map is the case's name; a name of a file that is not there is a remark."""
    tree(tmp_path, "baby/a.mha baby/z.mha")
    table(tmp_path, f"one,baby/a.mha,baby/z.mha,{cell}", f"case,adc,zadc,{column}")
    assert only(tmp_path) == {"one": ("baby/a.mha", "baby/z.mha")}


@pytest.mark.parametrize(
    ("column", "cell"), [("site", "Bern"), ("age", "3"), ("site Z", "Zug"), ("z", "-2.5"), ("source", "lost.mha"), ("", " ")]
)
def test_column_of_something_else_does_not_stop_an_estimate(tmp_path, column, cell):
    tree(tmp_path, "a.mha b.mha")
    table(tmp_path, f"one,a.mha,{cell}", f"case,adc,{column}")
    (case,) = find_cases(tmp_path, estimate_z=True)
    assert (case.adc, case.zadc, case.problem) == (tmp_path / "a.mha", None, "")


@pytest.mark.parametrize("estimate_z", [False, True])
@pytest.mark.parametrize("header", ["case,adc,{}", "case,adc,{} zmap", "case,{}", ",".join(["case", *["{}"] * 1000])])
def test_long_header_is_not_printed_whole(tmp_path, header, estimate_z):
    tree(tmp_path, "a.mha")
    table(tmp_path, "one,a.mha,a.mha", header.replace("{}", "x" * 100_000, 1).replace("{}", "x" * 60))
    with pytest.raises(UserError) as error:
        find_cases(tmp_path, estimate_z=estimate_z)
    assert len(str(error.value).removeprefix(str(tmp_path))) < 500


# --- rows ---


TOO_LONG = "cases.csv: line 2 has a cell of more than 131072 characters"
ROWS = [  # a row before a good one, the case's name, and its problem
    *((f"{name},b,c", None, "cannot name a case") for name in ("../a", ".a", "summary.csv", "a\tb", "x" * 201)),
    ("bad,b", "bad", "line 2 has no zadc"),
    ("bad", "bad", "line 2 has no adc and no zadc"),
    (",b,c", "line 2", "line 2 has no case"),
    ("bad,b,c,d", "bad", "line 2 has more than 3 values"),
    ("bad,b ,c", "bad", "/b '"),
    ('"bad ",b,c', "bad ", "begins or ends with a blank: 'bad '"),
    ("bad,folder,c", "bad", "/folder: a folder without DICOM, expected a file or a folder of DICOM"),
    ("bad,link,c", "bad", "link: a link to nowhere, which is not there"),
    ("bad,pointer,c", "bad", f"/pointer: {NOT_FETCHED}"),
    (f"a,{'x' * 5000},b", "a", "no such file"),
    *(
        (f"a,{adc},c", "a", "^no such file: *write paths from the folder of cases.csv on")
        for adc in ("/data/adc.mha", "C:\\data\\adc.mha", "D:/adc.mha", "\\\\share\\adc.mha")
    ),
]


@pytest.mark.parametrize(("row", "name", "says"), ROWS)
def test_row_that_is_wrong_fails_that_case_alone(tmp_path, row, name, says):
    tree(tmp_path, "b c folder/x dicom/IM1.dcm link>nowhere")
    (tmp_path / "pointer").write_text(LFS)
    table(tmp_path, f"{row}\ngood,b,c\nseries,dicom,c")
    cases = only(tmp_path)
    assert (cases.pop("good"), cases.pop("series")) == (("b", "c"), ("dicom", "c"))
    ((found, problem),) = cases.items()
    assert found == (name or found)
    require(tmp_path, problem, says)


@pytest.mark.parametrize("row", ["bad,b,c,{}", "bad,{},c", "{},b,c"])
@pytest.mark.parametrize("length", [200_000, 5000])
def test_cell_that_is_too_long_is_told_in_one_short_line(tmp_path, row, length):
    tree(tmp_path, "b c")
    table(tmp_path, f"{row.format('x ' * length)},\ngood,b,c", "case,adc,zadc,note")
    cases = only(tmp_path)
    assert cases.pop("good") == ("b", "c")
    (problem,) = cases.values()
    assert length < 100_000 or problem == f"{tmp_path}/{TOO_LONG}"
    assert len(str(problem)) < 700 + len(str(tmp_path))


def test_rows_with_one_name_all_fail(tmp_path):
    tree(tmp_path, "b c")
    table(tmp_path, "a,b,c\na,c,b\ngood,b,c")
    found = [(case.name, "found more than one a" in case.problem) for case in find_cases(tmp_path)]
    assert found == [("a", True), ("a", True), ("good", False)]


UNCLOSED = {  # rows between two good ones, and the lines that cannot be read
    "first cell": (['"bad,b,c'], {"bad": 3}),
    "last cell": (['bad,b,"c'], {"bad": 3}),
    "nowhere closed": (['"bad,b,c', "fine,b,c"], {"bad": 3}),
    "two rows": (['bad,"b,c', 'worse,"b,c'], {"bad": 3, "worse": 4}),
    "closed by the next row": (['bad,"b,c', 'worse,b",c'], {"bad": 3}),  # which names a file with a mark in it
    "text behind": (['bad,"b"b,c'], {"bad": 3}),
}


@pytest.mark.parametrize("kind", UNCLOSED)
def test_quotation_mark_that_is_not_closed_fails_its_row_alone(tmp_path, kind):
    rows, wrong = UNCLOSED[kind]
    tree(tmp_path, "b c")
    table(tmp_path, "\n".join(["good,b,c", *rows, '"also good",b,c']))
    cases = only(tmp_path)
    assert cases["good"] == cases["also good"] == cases.get("fine", ("b", "c")) == ("b", "c")
    for name, line in wrong.items():
        assert f"cases.csv: line {line} has a quotation mark that is not closed" in cases[name]
    assert len(cases) == 2 + len(rows)


def test_remark_of_two_lines_is_one_cell(tmp_path):
    tree(tmp_path, "b c")
    table(tmp_path, 'good,b,c,"seen\ntwice, on Monday"\nother,b,c,', "case,adc,zadc,remark")
    assert only(tmp_path) == GOOD | {"other": ("b", "c")}


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
    "UTF-16 without mark": joined(",").encode("utf-16-le"),
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
    tree(tmp_path, "maps/one.mha maps/two.nrrd")
    (tmp_path / ("Cases.CSV" if "capital" in kind else "cases.csv")).write_bytes(WRITTEN[kind])
    assert only(tmp_path) == dict.fromkeys(("Müller", "k"), ("maps/one.mha", "maps/two.nrrd"))


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ("c1/adc.mha c1/zmap.mha cases.csv>gone.csv", r"cases\.csv: a link to gone\.csv, which is not there"),
        ("cases.csv>cases.csv", r"cases\.csv: a circular link, which leads to itself$"),
        (
            "cases.csv=../../.git/annex/objects/Xz/2q/MD5E-s9--f7.csv/MD5E-s9--f7.csv",
            r"cases\.csv: a pointer of git-annex: the data were not fetched \(git annex get\)",
        ),
        ("bytes.csv=\0", "cannot be read as CSV"),
        ("", r"gone\.csv: no such file; a CSV is looked for in the input folder"),
    ],
)
def test_table_that_is_none(tmp_path, names, says):
    """Not passed over where cases lie beside it."""
    name, _, text = names.partition("=")
    tree(tmp_path, name)
    if text:
        (tmp_path / name).write_bytes(b"\xff\xfe\x00" if text == "\0" else text.encode())
    named = None if "cases.csv" in names else tmp_path / (name or "gone.csv")
    with pytest.raises(UserError, match=says):
        find_cases(tmp_path, named)


def test_two_tables_whose_names_differ_by_case(tmp_path):
    for name in ("cases.csv", "Cases.CSV"):
        table(tmp_path, "a,a,b", name=name)
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("this file system knows no case")
    with pytest.raises(UserError, match=f"^{tmp_path}: expected one cases.csv, found Cases.CSV and cases.csv$"):
        find_cases(tmp_path)
