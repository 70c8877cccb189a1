"""Which cases a folder holds: the data set's layout, a folder for each case, the platform's layout, a CSV."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from inference_helpers import ADC_FOLDER, ZADC_FOLDER

from model.errors import UserError
from model.inputs.cases import find_cases
from model.inputs.platform import find_inputs


def touch(root: Path, *names: str) -> Path:
    """Empty files; finding does not open them."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def only(root: Path, table: str | None = None) -> dict[str, tuple]:
    found = find_cases(root, root / table if table else None)
    cases = [case.for_options(estimate_z=False, use_mask=False) for case in found]
    return {c.name: c.problem or tuple(str(path.relative_to(root)) for path in c.maps) for c in cases}


def test_published_layout(tmp_path):
    adc, zadc = "1ADC_ss/B-VISIT_01-ADC_ss.mha", "2Z_ADC/Zmap_B-VISIT_01-ADC_smooth2mm_clipped10.mha"
    touch(tmp_path, adc, zadc, "3LABEL/B-VISIT_01_lesion.mha", "1ADC_ss/own.nii.gz", "2Z_ADC/own.nrrd")
    assert only(tmp_path) == {"B-VISIT_01": (adc, zadc), "own": ("1ADC_ss/own.nii.gz", "2Z_ADC/own.nrrd")}


def test_published_layout_with_a_map_missing(tmp_path):
    touch(tmp_path, "1ADC_ss/A-ADC_ss.mha", "2Z_ADC/Zmap_B-ADC_smooth2mm_clipped10.mha")
    cases = only(tmp_path)
    assert "the Z map, none is there" in cases["A"]
    assert "the ADC map, none is there" in cases["B"]


@pytest.mark.parametrize(
    ("adc", "zadc"),
    [
        ("adc.nii.gz", "zadc.nii.gz"),
        ("ADC.mha", "Z-score.mha"),
        ("sub-1_adc_ss.nrrd", "sub-1_adc_zscore.nrrd"),
        ("X-ADC_ss.mha", "Zmap_X-ADC_smooth2mm_clipped10.mha"),
        ("x_ADC.mhd", "x_ADC_z.mha"),
    ],
)
def test_folder_for_each_case(tmp_path, adc, zadc):
    touch(tmp_path, f"baby 1/{adc}", f"baby 1/{zadc}", "baby 1/lesion.mha", "baby 1/notes.txt", ".git/adc.mha", "list.txt")
    assert only(tmp_path) == {"baby 1": (f"baby 1/{adc}", f"baby 1/{zadc}")}


def test_two_files_that_could_be_the_adc_map(tmp_path):
    touch(tmp_path, "a/adc.mha", "a/adc.nii.gz", "a/zadc.mha", "b/zadc.mha", "c/notes.txt")
    cases = only(tmp_path)
    assert "that is the ADC map, 2 could be it: adc.mha, adc.nii.gz; list the one to use in a cases.csv" in cases["a"]
    assert "that is the ADC map, none is there" in cases["b"]
    assert "none is there" in cases["c"]


@pytest.mark.parametrize("adc", ["Perez_ADC.nii.gz", "Fritz-ADC.nii.gz"])  # z before ADC, at the end of a patient's name
def test_an_adc_map_beside_a_file_that_no_word_tells(tmp_path, adc):
    touch(tmp_path, f"a/{adc}", "a/Perez_foo.nii.gz")
    problem = only(tmp_path)["a"]
    assert "that is the Z map, none is there" in problem
    assert problem.endswith(f"({adc} was taken as the ADC map); --estimate-z does without one")


def test_platform_layout_in_each_folder(tmp_path):
    touch(tmp_path, f"a/{ADC_FOLDER}/1.mha", f"a/{ZADC_FOLDER}/2.mha", f"b/{ADC_FOLDER}/1.mha")
    cases = only(tmp_path)
    assert cases["a"] == (f"a/{ADC_FOLDER}/1.mha", f"a/{ZADC_FOLDER}/2.mha")
    assert "z-score-adc" in cases["b"]


def test_csv(tmp_path):
    touch(tmp_path, "maps/one.mha", "maps/two.nrrd")
    (tmp_path / "cases.csv").write_text(
        "\ufeffcase,adc,zadc,note\nk,maps/one.mha,maps/two.nrrd,x\ng,maps/gone.mha,maps/two.nrrd,\n"
    )
    cases = only(tmp_path)
    assert cases["k"] == ("maps/one.mha", "maps/two.nrrd")
    assert cases["g"] == f"no such file: {tmp_path / 'maps/gone.mha'}"
    (tmp_path / "cases.csv").rename(tmp_path / "other.csv")
    assert only(tmp_path, "other.csv") == cases


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("case,adc\na,b\n", "expected a first line with the columns case,adc,zadc ("),
        ("case,adc\na,b\n", "bars between them), found case,adc; the column zadc may be missing with --estimate-z"),
        ("case,adc,zmap\na,b,c\n", "bars between them), found case,adc,zmap; is zmap the column zadc?"),
        ("case,adc,zadc,zadc\na,b,c,d\n", "expected each column once, found zadc more than once"),
        ("case,adc, ADC,zadc\na,b,c,d\n", "expected each column once, found adc more than once"),
        ("", "between them), found none"),
        ("a;a.mha;z.mha\n", "tabs or bars between them), found a,a.mha,z.mha"),
        ("case,adc,zadc\n", "no case found"),
        ('case,adc,"zadc\na,b,c\n', "cannot be read as CSV"),
    ],
)
def test_csv_that_cannot_be_used(tmp_path, text, says):
    (tmp_path / "cases.csv").write_text(text)
    with pytest.raises(UserError, match=r"cases\.csv") as error:
        find_cases(tmp_path)
    assert says in str(error.value)


def test_csv_without_z_maps_where_they_are_estimated(tmp_path):
    """As with empty cells; a column that a Z map may stand in under another name is not passed over."""
    touch(tmp_path, "a.mha", "b.mha")
    found = []
    for text in ("case,adc,\none,a.mha,\ntwo,b.mha,\n", "case,adc,zadc\none,a.mha,\ntwo,b.mha,\n"):
        (tmp_path / "cases.csv").write_text(text)
        cases = [case.for_options(estimate_z=True, use_mask=False) for case in find_cases(tmp_path, estimate_z=True)]
        found.append([(case.name, case.adc, case.zadc, case.problem) for case in cases])
    assert found[0] == found[1] == [("one", tmp_path / "a.mha", None, ""), ("two", tmp_path / "b.mha", None, "")]
    for column in ("zmap", "Z score", "z", "z_adc"):
        (tmp_path / "cases.csv").write_text(f"case,adc,{column}\none,a.mha,b.mha\n")
        with pytest.raises(UserError, match=f"the column {column.casefold()} names files, "):
            find_cases(tmp_path, estimate_z=True)
    for text in ("case,zadc\none,a.mha\n", "adc\na.mha\n"):
        (tmp_path / "cases.csv").write_text(text)
        with pytest.raises(UserError, match="expected a first line with the columns case,adc,zadc "):
            find_cases(tmp_path, estimate_z=True)


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        *[
            ("zdac", "b.mha"),
            ("standardized", " b.mha"),
            ("adc_normalized", "maps\\c.mha"),
            ("source", "maps"),
            ("", "b.mha"),
        ],
        *[("zmap", "lost.nii.gz"), ("z", "lost/z"), ("zscore", "lost.DCM"), ("", "remark")],
    ],
)
def test_column_that_may_hold_the_z_maps_is_not_passed_over(tmp_path, column, cell):
    """One row of two has a value there; an empty column zadc does not say what it is."""
    touch(tmp_path, "a.mha", "b.mha", "maps/c.mha")
    (tmp_path / "cases.csv").write_text(f"case,adc,{column}\none,a.mha\ntwo,a.mha,{cell}\n")
    shown = column or "3, which has no name,"
    with pytest.raises(UserError, match=rf"the column {shown} (names files|has values), .*; is it zadc\?$"):
        find_cases(tmp_path, estimate_z=True)
    (tmp_path / "cases.csv").write_text(f"case,adc,{column},zadc\none,a.mha\ntwo,a.mha,{cell},\n")
    if cell == "remark":
        assert [case.problem for case in find_cases(tmp_path, estimate_z=True)] == ["", ""]
        return
    with pytest.raises(UserError, match=f"the column {shown} names files, which only adc, zadc and brain_mask may"):
        find_cases(tmp_path, estimate_z=True)


@pytest.mark.parametrize("estimate_z", [False, True])
@pytest.mark.parametrize(
    ("column", "cell"),
    [
        *[
            ("mask", "m.mha"),
            ("mask_path", "lost/m.mha"),
            ("Maske", "m.mha"),
            ("brain", "m.mha"),
            ("bet mask", "lost.nii.gz"),
        ],
        *[("lesion", "m.mha"), ("t2", " m.mha"), ("", "m.mha"), ("series", "dicom")],
    ],
)
def test_column_of_files_by_another_name_is_refused(tmp_path, column, cell, estimate_z):
    touch(tmp_path, "a.mha", "z.mha", "m.mha", "dicom/1.dcm")
    (tmp_path / "cases.csv").write_text(f"case,adc,zadc,{column}\none,a.mha,z.mha\ntwo,a.mha,z.mha,{cell}\n")
    shown = column.casefold() or "4, which has no name,"
    with pytest.raises(UserError, match=f"the column {shown} names files, which only ") as error:
        find_cases(tmp_path, estimate_z=estimate_z)
    assert str(error.value).endswith("; is it brain_mask?") == any(word in column for word in ("mas", "Mas", "brain"))


@pytest.mark.parametrize("column", ["Brain mask", "brainmask", "BrainMask", "brain-mask", " BRAIN_MASK "])
def test_spellings_of_the_column_of_brain_masks(tmp_path, column):
    touch(tmp_path, "a.mha", "z.mha", "m.mha")
    (tmp_path / "cases.csv").write_text(f"case,adc,zadc,{column}\none,a.mha,z.mha,m.mha\n")
    assert find_cases(tmp_path)[0].brain_mask == tmp_path / "m.mha"
    (tmp_path / "cases.csv").write_text(f"case,adc,zadc,{column},brain_mask\none,a.mha,z.mha,m.mha,\n")
    with pytest.raises(UserError, match="each column once, found brain_mask more than once"):
        find_cases(tmp_path)


@pytest.mark.parametrize(("column", "cell"), [("subject", "baby"), ("site", "Bern"), ("note", "x.mha"), ("mask", "yes")])
def test_column_of_something_else_stops_no_table(tmp_path, column, cell):
    """A folder above the ADC map is the case's name; a name of a file that is not there is a remark."""
    touch(tmp_path, "baby/a.mha", "baby/z.mha")
    (tmp_path / "cases.csv").write_text(f"case,adc,zadc,{column}\none,baby/a.mha,baby/z.mha,{cell}\n")
    assert only(tmp_path) == {"one": ("baby/a.mha", "baby/z.mha")}


@pytest.mark.parametrize(
    ("column", "cell"), [("site", "Bern"), ("age", "3"), ("site Z", "Zug"), ("z", "-2.5"), ("source", "lost.mha"), ("", " ")]
)
def test_column_of_something_else_does_not_stop_an_estimate(tmp_path, column, cell):
    touch(tmp_path, "a.mha", "b.mha")
    (tmp_path / "cases.csv").write_text(f"case,adc,{column}\none,a.mha,{cell}\n")
    (case,) = find_cases(tmp_path, estimate_z=True)
    assert (case.adc, case.zadc, case.problem) == (tmp_path / "a.mha", None, "")


@pytest.mark.parametrize("estimate_z", [False, True])
@pytest.mark.parametrize("header", ["case,adc,{}", "case,adc,{} zmap", "case,{}", ",".join(["case", *["{}"] * 1000])])
def test_long_header_is_not_printed_whole(tmp_path, header, estimate_z):
    touch(tmp_path, "a.mha")
    (tmp_path / "cases.csv").write_text(
        header.replace("{}", "x" * 100_000, 1).replace("{}", "x" * 60) + "\none,a.mha,a.mha\n"
    )
    with pytest.raises(UserError) as error:
        find_cases(tmp_path, estimate_z=estimate_z)
    assert len(str(error.value).removeprefix(str(tmp_path))) < 500


@pytest.mark.parametrize("name", ["../a", ".a", "summary.csv", "a\tb", "x" * 201])
def test_name_that_no_folder_can_have_is_that_cases_problem(tmp_path, name):
    touch(tmp_path, "b", "c")
    (tmp_path / "cases.csv").write_text(f"case,adc,zadc\n{name},b,c\ngood,b,c\n")
    cases = only(tmp_path)
    assert cases.pop("good") == ("b", "c")
    assert "cannot name a case" in next(iter(cases.values()))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("bad,b,c,{}", "cases.csv: line 2 has a cell of more than 131072 characters"),
        ("bad,{},c", "cases.csv: line 2 has a cell of more than 131072 characters"),
        ("{},b,c", "cases.csv: line 2 has a cell of more than 131072 characters"),
    ],
)
@pytest.mark.parametrize("length", [200_000, 5000])
def test_cell_that_is_too_long_is_told_in_one_short_line(tmp_path, row, says, length):
    touch(tmp_path, "b", "c")
    (tmp_path / "cases.csv").write_text(f"case,adc,zadc,note\n{row.format('x ' * length)},\ngood,b,c\n")
    cases = only(tmp_path)
    assert cases.pop("good") == ("b", "c")
    (problem,) = cases.values()
    assert length < 100_000 or problem == f"{tmp_path}/{says}"
    assert len(str(problem)) < 700 + len(str(tmp_path))


def test_path_that_no_file_system_can_hold_is_that_cases_problem(tmp_path):
    touch(tmp_path, "b")
    (tmp_path / "cases.csv").write_text(f"case,adc,zadc\na,{'x' * 5000},b\ngood,b,b\n")
    assert only(tmp_path)["good"] == ("b", "b")
    assert only(tmp_path)["a"].startswith("no such file")


ROWS = [["case", "adc", "zadc"], ["Müller", "maps/one.mha", "maps/two.nrrd"], ["k", "maps/one.mha", "maps/two.nrrd"]]


def joined(delimiter: str, more: str = "", rows: list = ROWS) -> str:
    return "".join(f"{delimiter.join(row)}{more}\r\n" for row in rows)


@pytest.mark.parametrize(
    "data",
    {
        "semicolons": joined(";").encode(),
        "tabs": joined("\t").encode(),
        "Excel's empty columns": joined(",", ",,").encode(),
        "upper case": joined(",").replace("case,adc", "CASE, Adc ").encode(),
        "UTF-8 with mark": joined(";").encode("utf-8-sig"),
        "UTF-16": joined("\t").encode("utf-16"),
        "UTF-16, big-endian": b"\xfe\xff" + joined(",").encode("utf-16-be"),
        "UTF-16 without mark": joined(",").encode("utf-16-le"),
        "Windows' code page": joined(";").encode("cp1252"),
        "quoted": joined(",", rows=[[f'"{cell}"' for cell in row] for row in ROWS]).encode(),
        "blank lines": joined(",").replace("\r\n", "\r\n\r\n ,,\r\n").encode(),
        "old Mac": joined(",").replace("\r\n", "\r").encode(),
        "backslashes": joined(",").replace("maps/", "maps\\").encode(),
        "Excel's note of the delimiter": b"sep=;\r\n" + joined(";").encode(),
        "other columns between": joined(",", rows=[[row[0], "note", *row[1:]] for row in ROWS]).encode(),
        "a capital in the table's name": joined(",").encode(),
    }.items(),
    ids=lambda item: item[0],
)
def test_csv_as_spreadsheets_write_it(tmp_path, data):
    touch(tmp_path, "maps/one.mha", "maps/two.nrrd")
    (tmp_path / ("Cases.CSV" if "capital" in data[0] else "cases.csv")).write_bytes(data[1])
    assert only(tmp_path) == dict.fromkeys(("Müller", "k"), ("maps/one.mha", "maps/two.nrrd"))


@pytest.mark.parametrize(
    ("row", "name", "says"),
    [
        ("bad,b", "bad", "line 2 has no zadc"),
        ("bad", "bad", "line 2 has no adc and no zadc"),
        (",b,c", "line 2", "line 2 has no case"),
        ("bad,b,c,d", "bad", "line 2 has more than 3 values"),
        ("bad,b ,c", "bad", "/b '"),
        ('"bad ",b,c', "bad ", "begins or ends with a blank: 'bad '"),
        ("bad,folder,c", "bad", "folder: a folder without DICOM, expected a file or a folder of DICOM"),
        ("bad,link,c", "bad", "link: a link to nowhere, which is not there"),
    ],
)
def test_row_that_is_wrong_fails_that_case_alone(tmp_path, row, name, says):
    touch(tmp_path, "b", "c", "folder/x")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "cases.csv").write_text(f"case,adc,zadc\n{row}\ngood,b,c\n")
    cases = only(tmp_path)
    assert cases.pop("good") == ("b", "c")
    assert says in cases.pop(name)
    assert not cases


def test_rows_with_one_name_all_fail(tmp_path):
    touch(tmp_path, "b", "c")
    (tmp_path / "cases.csv").write_text("case,adc,zadc\na,b,c\na,c,b\ngood,b,c\n")
    cases = find_cases(tmp_path)
    assert [(case.name, "found more than one a" in case.problem) for case in cases] == [
        ("a", True),
        ("a", True),
        ("good", False),
    ]


def test_table_that_is_a_link_to_nothing_is_not_passed_over(tmp_path):
    touch(tmp_path, "c1/adc.mha", "c1/zmap.mha")
    (tmp_path / "cases.csv").symlink_to("gone.csv")
    with pytest.raises(UserError, match=r"cases\.csv: a link to gone\.csv, which is not there"):
        find_cases(tmp_path)


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
    touch(tmp_path, "b", "c")
    (tmp_path / "cases.csv").write_text("\n".join(["case,adc,zadc", "good,b,c", *rows, '"also good",b,c', ""]))
    cases = only(tmp_path)
    assert cases["good"] == cases["also good"] == ("b", "c")
    assert cases.get("fine", ("b", "c")) == ("b", "c")
    for name, line in wrong.items():
        assert f"cases.csv: line {line} has a quotation mark that is not closed" in cases[name]
    assert len(cases) == 2 + len(rows)


def test_remark_of_two_lines_is_one_cell(tmp_path):
    touch(tmp_path, "b", "c")
    (tmp_path / "cases.csv").write_text('case,adc,zadc,remark\ngood,b,c,"seen\ntwice, on Monday"\nother,b,c,\n')
    assert only(tmp_path) == {"good": ("b", "c"), "other": ("b", "c")}


def test_circular_links(tmp_path):
    touch(tmp_path, "good/adc.mha", "good/zmap.mha", "bad/adc.mha")
    (tmp_path / "bad/zmap.mha").symlink_to("zmap.mha")
    (tmp_path / "round").symlink_to("about")
    (tmp_path / "about").symlink_to("round")
    cases = only(tmp_path)
    for name, path in (("bad", "bad/zmap.mha"), ("round", "round"), ("about", "about")):
        assert cases[name] == f"{tmp_path / path}: a circular link, which leads to itself"
    (tmp_path / "cases.csv").symlink_to("cases.csv")
    with pytest.raises(UserError, match=r"cases\.csv: a circular link, which leads to itself$"):
        find_cases(tmp_path)


def test_umlaut_of_a_mac_in_a_table_of_windows(tmp_path):
    """A Mac stores u and its dots as two signs, Windows as one."""
    touch(tmp_path, "Mu\u0308ller.mha", "z.mha")
    (tmp_path / "cases.csv").write_text("case;adc;zadc\nx;M\u00fcller.mha;z.mha\n", encoding="cp1252")
    assert only(tmp_path) == {"x": ("Mu\u0308ller.mha", "z.mha")}


# --- what looks like a case is found, with the reason why it cannot be run ---


def test_links_to_nothing(tmp_path):
    """A data set under git-annex whose files were not fetched, or a disk that is not mounted."""
    touch(tmp_path, "good/adc.mha", "good/zmap.mha", "one/adc.mha", "both")
    (tmp_path / "both").unlink()
    (tmp_path / "both").mkdir()
    for path in ("folder", "one/zmap.mha", "both/adc.nii.gz", "both/zmap.nii.gz", "README.md"):
        (tmp_path / path).symlink_to("../.git/annex/objects/gone")
    cases = only(tmp_path)
    assert cases.pop("good") == ("good/adc.mha", "good/zmap.mha")
    assert sorted(cases) == ["both", "folder", "one"]
    for name, count in (("both", 2), ("folder", 1), ("one", 1)):
        assert cases[name].count("a link to ../.git/annex/objects/gone") == count
        assert cases[name].endswith("the data were not fetched (git annex get), or lie outside of the mounted folder")


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 78642\n"
NOT_FETCHED = {  # what lies there, and of that the pointer
    "ADC map": ("c1/adc.mha c1/zmap.mha", "c1/adc.mha"),
    "Z map": ("c1/adc.mha c1/zmap.mha", "c1/zmap.mha"),
    "brain mask": ("c1/adc.mha c1/zmap.mha c1/mask.mha", "c1/mask.mha"),
    "published": ("1ADC_ss/c1-ADC_ss.mha 2Z_ADC/Zmap_c1-ADC_smooth2mm_clipped10.mha", "1ADC_ss/c1-ADC_ss.mha"),
    "BIDS": ("sub-c1/dwi/sub-c1_ADC.nii.gz sub-c1/dwi/sub-c1_desc-z_ADC.nii.gz", "sub-c1/dwi/sub-c1_ADC.nii.gz"),
    "BIDS' description": ("sub-c1/dwi/sub-c1_ADC.nii.gz", "dataset_description.json"),
    "platform": (f"c1/{ADC_FOLDER}/a.mha c1/inputs.json", "c1/inputs.json"),
    "loose": ("c1/adc.mha c1/zmap.mha", "scan.dcm"),
}


@pytest.mark.parametrize("kind", NOT_FETCHED)
def test_pointers_to_data_that_were_not_fetched(tmp_path, kind):
    names, pointer = NOT_FETCHED[kind]
    touch(tmp_path, *names.split(), pointer)
    if "BIDS" in kind:
        (tmp_path / "dataset_description.json").write_text('{"Name": "n", "BIDSVersion": "1.9.0"}')
    (tmp_path / pointer).write_text(LFS)
    cases = [case.for_options(estimate_z=True, use_mask=True) for case in find_cases(tmp_path)]
    says = f"{tmp_path / pointer}: a pointer of Git LFS: the data were not fetched (git lfs pull)"
    assert says in [case.problem for case in cases]


def test_a_table_that_was_not_fetched_and_one_of_files_that_were_not(tmp_path):
    touch(tmp_path, "zmap.mha")
    (tmp_path / "IM1").write_text(LFS)
    (tmp_path / "cases.csv").write_text("case,adc,zadc\nc1,IM1,zmap.mha\n")
    assert only(tmp_path)["c1"] == f"{tmp_path}/IM1: a pointer of Git LFS: the data were not fetched (git lfs pull)"
    (tmp_path / "cases.csv").write_text("../../.git/annex/objects/Xz/2q/MD5E-s9--f7.csv/MD5E-s9--f7.csv")
    with pytest.raises(UserError, match=r"cases\.csv: a pointer of git-annex: the data were not fetched \(git annex get\)"):
        find_cases(tmp_path)


def test_a_folder_of_slices_that_were_not_fetched(tmp_path):
    """Nothing says that they are DICOM but their place; their names are not said."""
    touch(tmp_path, "c1/notes.txt")
    for n in range(3):
        (tmp_path / "c1" / f"IM{n}").write_text(LFS)
    problem = only(tmp_path)["c1"]
    assert problem.endswith(
        "3 of 3 files that may be DICOM are each a pointer of Git LFS: the data were not fetched (git lfs pull)"
    )
    assert "IM0" not in problem


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("adc.tif", "zmap.tif"), "found adc.tif, zmap.tif (TIFF), which is not read there; expected .mha, .mhd, .nii"),
        (("adc.mnc", "zmap.mnc"), "(MINC), which is not read"),
        (("adc.hdr", "adc.img"), "(Analyze or two-file NIfTI), which is not read"),
        (("ADC.PNG",), "ADC.PNG (picture), which is not read"),
        (("scan.zip",), "scan.zip (archive), which is not read"),
        (("adc.mha", "zmap.tif"), "is the Z map, found zmap.tif (TIFF), which is not read"),
        ((), "none is there, the folder is empty"),
        (("notes.txt",), "none is there beside notes.txt"),
        ((".adc.mha", "zmap.mha"), "none is there beside .adc.mha, zmap.mha"),
    ],
)
def test_folder_without_maps_that_are_read(tmp_path, names, says):
    (tmp_path / "c1").mkdir()
    touch(tmp_path, "c2/adc.mha", "c2/zmap.mha", *(f"c1/{name}" for name in names))
    cases = only(tmp_path)
    assert says in cases["c1"]
    assert len(cases) == 2


@pytest.mark.parametrize("names", [("c1/IM0001",), ("c1/study/series/IM0001",), ("c1/0.dcm", "c1/1.dcm"), ("c1/A/1.IMA",)])
def test_a_folder_with_dicom_is_a_case_without_a_z_map(tmp_path, names):
    touch(tmp_path, *names)
    for name in names:
        (tmp_path / name).write_bytes(bytes(128) + b"DICM")
    (case,) = find_cases(tmp_path)
    assert (case.name, case.adc, case.zadc, case.problem) == ("c1", tmp_path / "c1", None, "")
    assert case.no_z.endswith("(c1 was taken as the ADC map)")


def test_a_z_map_and_a_brain_mask_beside_dicom(tmp_path):
    touch(tmp_path, "c1/IM1.dcm", "c1/zmap.nii.gz", "c1/brain_mask.nii.gz")
    (case,) = find_cases(tmp_path)
    assert case.files == (tmp_path / "c1", tmp_path / "c1/zmap.nii.gz", tmp_path / "c1/brain_mask.nii.gz")


@pytest.mark.parametrize("adc", ["adc.nii.gz", "adc_brain.nii.gz", "x_ep2d_ADC_20260203101112_5_bet.nii.gz"])
def test_an_adc_map_of_another_format_comes_before_dicom_and_is_told(tmp_path, adc):
    """What someone made of the converted file, such as a stripped map, is wanted."""
    touch(tmp_path, "c1/dicom/IM1.dcm", "c1/zmap.nii.gz", f"c1/{adc}")
    assert only(tmp_path)["c1"] == (f"c1/{adc}", "c1/zmap.nii.gz")
    (case,) = find_cases(tmp_path)
    assert case.remarks == (f"The ADC map was taken from {adc}, not from the DICOM files beside it: they were not read.",)


DCM2NIIX = "20260203101112_5"  # time and number of a series, in the names that dcm2niix gives


@pytest.mark.parametrize(
    ("names", "json_of"),
    [
        ([f"baby_ep2d_diff_ADC_{DCM2NIIX}"], ""),
        ([f"baby_ep2d_diff_ADC_{DCM2NIIX}a", f"baby_ep2d_eADC_{DCM2NIIX}", f"baby_ep2d_b0_{DCM2NIIX}_e1"], ""),
        ([f"baby_DWI_{DCM2NIIX}_ADC"], ""),
        (["5_ADC"], "5_ADC"),
        (["adc", "dwi"], "adc"),
    ],
)
@pytest.mark.parametrize("suffix", [".nii.gz", ".NII", ".nrrd"])
def test_dicom_comes_before_what_dcm2niix_made_of_it(tmp_path, names, json_of, suffix):
    touch(tmp_path, "baby/IM1.dcm", "baby/x_zmap.nii.gz", "baby/brain_mask.nii.gz", *(f"baby/{n}{suffix}" for n in names))
    touch(tmp_path, f"baby/{names[0]}_zmap_{names[0]}.txt")
    for name in filter(None, [json_of]):
        (tmp_path / "baby" / f"{name}.json").write_text(json.dumps({"ConversionSoftware": "dcm2niix"}))
    (case,) = find_cases(tmp_path)
    assert case.files == (tmp_path / "baby", tmp_path / "baby/x_zmap.nii.gz", tmp_path / "baby/brain_mask.nii.gz")
    assert tmp_path / "baby" / f"{names[0]}{suffix}" in case.converted
    (tmp_path / "baby" / "IM1.dcm").unlink()
    if len(names) == 1:
        assert find_cases(tmp_path)[0].adc == tmp_path / "baby" / f"{names[0]}{suffix}"


def test_dcm2niix_is_known_by_the_header_too(tmp_path):
    """`-b n -f adc` leaves no JSON and no name of its own. What another name says was stripped since is no mere copy."""
    touch(tmp_path, "baby/IM1.dcm")
    image = nibabel.Nifti1Image(np.zeros((2, 3, 4), np.int16), np.eye(4))
    image.header["descrip"] = "TE=90;Time=101112.000"
    for name in ("adc.nii", "adc.nii.gz", "adc_bet.nii.gz"):
        nibabel.save(image, tmp_path / "baby" / name)
        (case,) = find_cases(tmp_path)
        assert case.adc == tmp_path / "baby" / ("" if "bet" not in name else name)
        (tmp_path / "baby" / name).unlink()


@pytest.mark.parametrize(("fields", "stem"), [({"SkullStripped": True}, "adc"), ({}, "adc_brain"), ({}, "adc_ss")])
def test_a_stripped_map_with_the_json_of_its_source_is_no_mere_copy(tmp_path, fields, stem):
    touch(tmp_path, "baby/IM1.dcm", f"baby/{stem}.nii.gz")
    about = {"ConversionSoftware": "dcm2niix", "SeriesDescription": "ep2d ADC"} | fields
    (tmp_path / "baby" / f"{stem}.json").write_text(json.dumps(about))
    assert find_cases(tmp_path)[0].adc == tmp_path / "baby" / f"{stem}.nii.gz"


def test_a_lesion_mask_beside_dicom_is_not_the_adc_map(tmp_path):
    touch(tmp_path, "baby/IM1.dcm", "baby/adc_lesion_mask.nii.gz")
    (case,) = find_cases(tmp_path)
    assert (case.adc, case.zadc, case.brain_mask) == (tmp_path / "baby", None, None)
    assert case.other_masks == "adc_lesion_mask.nii.gz is none by its name"


def test_loose_files_beside_case_folders(tmp_path):
    touch(tmp_path, "c1/adc.mha", "c1/zmap.mha", "c2_adc.nii.gz", "c2_zmap.nii.gz", "c3.dcm")
    touch(tmp_path, *("README", "readme.txt", ".DS_Store", "Thumbs.db", "desktop.ini", "participants.tsv", "._c1.mha"))
    touch(tmp_path, "@eaDir/x.mha", "__MACOSX/adc.mha")
    cases = only(tmp_path)
    assert cases.pop("c1") == ("c1/adc.mha", "c1/zmap.mha")
    assert sorted(cases) == ["c2_adc.nii.gz", "c2_zmap.nii.gz", "c3.dcm"]
    assert all("lies beside the cases" in problem for problem in cases.values())


def test_only_loose_files_are_named(tmp_path):
    touch(tmp_path, "a.dcm", "b.dcm")
    with pytest.raises(UserError, match=r"no case found.*found 2 file\(s\) \(DICOM\), which is not read there"):
        find_cases(tmp_path)


def test_cases_that_lie_too_deep(tmp_path):
    touch(tmp_path, "c1/adc.mha", "c1/zmap.mha", "c1/second/adc.mha", "c1/second/zmap.mha", "c1/labels/lesion.mha")
    touch(tmp_path, "site/c2/adc.mha", "site/c2/zmap.mha", "sub/ses/dwi/x_adc.nii", "sub/ses/dwi/x_zmap.nii")
    cases = only(tmp_path)
    assert cases.pop("c1") == ("c1/adc.mha", "c1/zmap.mha")
    assert sorted(cases) == ["c1/second", "site/c2", "sub/ses/dwi"]
    assert f"{tmp_path / 'site/c2'}: lies too deep" in cases["site/c2"]
    assert f"name {tmp_path / 'site'} as input" in cases["site/c2"]


def test_adc_maps_alone_that_lie_too_deep(tmp_path):
    """A second visit below the first, cases of a hospital; images of other kinds below a case belong to it."""
    touch(tmp_path, "c1/adc.mha", "c1/visit2/adc.mha", "c1/raw/dwi.mha", "site/c2/adc.mha", "site/c3/adc.nii")
    touch(tmp_path, f"c4/{ADC_FOLDER}/adc.mha")
    cases = {case.name: case.problem for case in find_cases(tmp_path, estimate_z=True)}
    assert [name for name, problem in cases.items() if not problem] == ["c1", "c4"]
    assert [name for name, problem in cases.items() if "lies too deep" in problem] == ["c1/visit2", "site/c2", "site/c3"]
    assert len(cases) == 5


def test_an_adc_map_below_dicom_is_left_out_with_a_word(tmp_path):
    """It may be made of the DICOM files."""
    touch(tmp_path, "c1/series/IM1.dcm", "c1/nifti/x_ADC.nii.gz", "c2/IM1.dcm", "c2/x_FA.nii.gz")
    first, second = find_cases(tmp_path)
    assert (first.adc, first.problem, second.remarks) == (tmp_path / "c1", "", ())
    assert first.remarks == ("The ADC map in the folder below (nifti) was left out: the DICOM files were taken.",)


@pytest.mark.parametrize("index", ["DICOMDIR", "dicomdir", "DICOMDIR."])
def test_cd_with_a_viewer(tmp_path, index):
    """Its index, programs and pictures are passed over; images elsewhere on it are not."""
    touch(tmp_path, index, "DICOM/ST1/IM1", "VIEWER/viewer.exe", "VIEWER/logo.png", "VIEWER/help.zip", "AUTORUN.INF")
    touch(
        tmp_path,
        "IHE_PDI/INDEX.HTM",
        "IHE_PDI/1.jpg",
        "logo.bmp",
        "more/adc.tif",
        "JRE/lib/rt.jar",
        "last/x.exe",
        "last/x.mgz",
    )
    for name in (index, "DICOM/ST1/IM1"):
        (tmp_path / name).write_bytes(bytes(128) + b"DICM")
    cases = {case.name: case.problem for case in find_cases(tmp_path)}
    assert list(cases) == ["DICOM", "last", "more"]
    assert not cases["DICOM"]
    (tmp_path / index).unlink()  # programs are known as such without it
    assert sorted(case.name for case in find_cases(tmp_path)) == ["DICOM", "IHE_PDI", "last", "logo.bmp", "more"]


def test_two_cases_of_one_name_both_fail(tmp_path):
    touch(tmp_path, "1ADC_ss/own.nii.gz", "2Z_ADC/own.nii.gz", "own/adc.mha", "own/zmap.mha")
    assert ["found more than one own" in case.problem for case in find_cases(tmp_path)] == [True, True]


@pytest.mark.parametrize("image", ["adc.mha", "1/zmap.nii.gz", "old/x/IM.dcm", "scan.zip"])
def test_hidden_folder_with_an_image(tmp_path, image):
    """Those of tools, which hold copies, are passed over."""
    touch(tmp_path, "c1/adc.mha", "c1/zmap.mha", f".c2/{image}", ".new/notes.txt", ".c2.mha", "._c1.mha")
    touch(tmp_path, *(f"{folder}/adc.mha" for folder in (".git", ".cache", ".Trash-1000", ".snapshot", ".datalad")))
    cases = only(tmp_path)
    assert sorted(cases) == [".c2", ".c2.mha", "c1"]
    assert "a hidden folder" in cases[".c2"]
    assert "lies beside the cases" in cases[".c2.mha"]


def test_folder_that_may_not_be_read_is_that_cases_problem(tmp_path, monkeypatch):
    touch(tmp_path, "c1/adc.mha", "c1/zmap.mha", "c2/adc.mha")
    listed = Path.iterdir

    def refuse(path: Path) -> object:
        if path.name == "c2":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    cases = only(tmp_path)
    assert cases["c1"] == ("c1/adc.mha", "c1/zmap.mha")
    assert cases["c2"] == f"{tmp_path / 'c2'}: cannot be read (Permission denied)"


def test_published_layout_named_otherwise(tmp_path):
    """The words that are not a map's are the case: a Z map of the same words belongs to it."""
    touch(tmp_path, "1ADC_ss/B_010-VISIT_01-ADC_ss.mha", "2Z_ADC/B_010-VISIT_01-Zscore.mha")
    touch(tmp_path, "1ADC_ss/C_011_ADC.mha", "2Z_ADC/zmap_C_011.nii.gz", "1ADC_ss/D_1-ADC_ss.mha", "2Z_ADC/D_01_z.mha")
    cases = only(tmp_path)
    assert cases["B_010-VISIT_01"] == ("1ADC_ss/B_010-VISIT_01-ADC_ss.mha", "2Z_ADC/B_010-VISIT_01-Zscore.mha")
    assert cases["C_011_ADC"] == ("1ADC_ss/C_011_ADC.mha", "2Z_ADC/zmap_C_011.nii.gz")
    assert "the Z map, none is there" in cases["D_1"]  # 1 and 01 may be two patients
    assert "the ADC map, none is there" in cases["D_01_z"]


def test_what_lies_in_and_beside_the_published_layout(tmp_path):
    touch(tmp_path, "1ADC_ss/A-ADC_ss.mha", "2Z_ADC/Zmap_A-ADC_smooth2mm_clipped10.mha", "3LABEL/A_lesion.mha")
    touch(tmp_path, "1ADC_ss/B.tif", "1ADC_ss/series/1.dcm", "more/adc.mha", "more/zmap.mha", "figures/x.png", "loose.mha")
    touch(tmp_path, "code/x.py", "tables/x.csv.gz", "notes/a.docx", "alone/adc.mha", "fs/x.mgz", "d.zip", ".old/x/zmap.nii")
    touch(tmp_path, "deep/c/adc.mha", "study/1/2.dcm", "packed/x.tar.gz", "zmap_only/zmap.nii", "e.tar.gz", "empty/x")
    (tmp_path / "2Z_ADC" / "Zmap_C-ADC_smooth2mm_clipped10.mha").symlink_to("gone")
    touch(tmp_path, "1ADC_ss/C-ADC_ss.mha", "1ADC_ss/Thumbs.db", "2Z_ADC/readme.txt")
    cases = only(tmp_path)
    assert [name for name, files in cases.items() if isinstance(files, tuple)] == ["A", "more"]
    assert {name for name, files in cases.items() if isinstance(files, str)} == {
        *("1ADC_ss/B.tif", "1ADC_ss/series", "C", "loose.mha", "alone", "fs", "d.zip", ".old"),
        *("deep/c", "study", "packed", "zmap_only", "e.tar.gz"),
    }
    assert "a link to gone" in cases["C"]
    assert [case.name for case in find_cases(tmp_path) if not case.problem] == ["A", "alone", "more", "study"]


def test_two_tables_whose_names_differ_by_case(tmp_path):
    for name in ("cases.csv", "Cases.CSV"):
        (tmp_path / name).write_text("case,adc,zadc\na,a,b\n")
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("this file system knows no case")
    with pytest.raises(UserError, match=f"^{tmp_path}: expected one cases.csv, found Cases.CSV and cases.csv$"):
        find_cases(tmp_path)


def test_csv_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(UserError, match=r"gone\.csv: no such file; a CSV is looked for in the input folder"):
        find_cases(tmp_path, tmp_path / "gone.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read as CSV"):
        find_cases(tmp_path, tmp_path / "bytes.csv")


@pytest.mark.parametrize("adc", ["/data/adc.mha", "C:\\data\\adc.mha", "D:/adc.mha", "\\\\share\\adc.mha"])
def test_absolute_paths_of_a_table_that_are_not_there(tmp_path, adc):
    touch(tmp_path, "zadc.mha")
    (tmp_path / "cases.csv").write_text(f"case,adc,zadc\na,{adc},zadc.mha\n")
    problem = only(tmp_path)["a"]
    assert problem.startswith("no such file: ")
    assert "write paths from the folder of cases.csv on" in problem


@pytest.mark.parametrize("find", [find_cases, find_inputs])
def test_an_empty_input_folder_points_to_the_mount(tmp_path, find):
    with pytest.raises(UserError, match=f"^{tmp_path}.*: .*the input folder is empty; in a container, check .* -v mount"):
        find(tmp_path)


def test_dicom_elsewhere_is_told_where_it_is_read_and_other_formats_have_no_such_advice(tmp_path):
    touch(tmp_path, "b/adc.tif", "3.dcm")
    problems = only(tmp_path)
    advice = "; DICOM is read with --cases, from a folder for each case"
    assert {name: problem.endswith(advice) for name, problem in problems.items()} == {"b": False, "3.dcm": True}


def test_dicom_in_the_platforms_layout_is_told_where_it_is_read(tmp_path):
    touch(tmp_path, f"{ADC_FOLDER}/1.dcm", f"{ZADC_FOLDER}/2.mha")
    with pytest.raises(
        UserError, match=r"found 1 file\(s\) \(DICOM\) .*; DICOM is read with --cases, from a folder for each case$"
    ):
        find_inputs(tmp_path)


def test_a_table_names_a_folder_of_dicom(tmp_path):
    touch(tmp_path, "a/IM1.dcm", "zadc.mha", "empty/notes.txt")
    (tmp_path / "cases.csv").write_text("case,adc,zadc\none,a,zadc.mha\ntwo,empty,zadc.mha\n")
    cases = only(tmp_path)
    assert cases["one"] == ("a", "zadc.mha")
    assert cases["two"] == f"{tmp_path / 'empty'}: a folder without DICOM, expected a file or a folder of DICOM"


def test_nothing_found_says_what_was_expected(tmp_path):
    touch(tmp_path, "adc.mha", "zadc.mha")
    expected = "no case found, expected 1ADC_ss/ and 2Z_ADC/ as in the data set"
    with pytest.raises(UserError, match=f"{expected}.* beside no folder of a case, put each case in one of its own$"):
        find_cases(tmp_path)


@pytest.mark.parametrize("name", ["standard", "baby1_scan", "smoothed"])
def test_an_image_of_unknown_kind_is_named_where_the_z_map_is_estimated(tmp_path, name):
    (case,) = find_cases(touch(tmp_path, "baby1/baby1_adc.nii.gz", f"baby1/{name}.nii.gz"))
    (remark,) = case.for_options(estimate_z=True, use_mask=False).remarks
    assert remark == f"{name}.nii.gz was not used: if it is the Z map, put 'zmap' into its name."


def test_words_of_the_adc_maps_name_do_not_say_what_another_image_is(tmp_path):
    (case,) = find_cases(touch(tmp_path, "baby1/fa_t2_adc.nii.gz", "baby1/fa_t2_standard.nii.gz"))
    (remark,) = case.for_options(estimate_z=True, use_mask=False).remarks
    assert remark.startswith("fa_t2_standard.nii.gz was not used")


@pytest.mark.parametrize("name", ["b0", "DWI_b1000", "trace", "t2w", "brain_mask", "lesion", "baby1_left_label", "eADC"])
def test_an_image_of_another_kind_is_not(tmp_path, name):
    (case,) = find_cases(touch(tmp_path, "baby1/baby1_adc.nii.gz", f"baby1/{name}.nii.gz"))
    assert case.for_options(estimate_z=True, use_mask=False).remarks == ()


def test_no_image_is_named_beside_a_given_z_map(tmp_path):
    (case,) = find_cases(touch(tmp_path, "baby1/adc.nii.gz", "baby1/zmap.nii.gz", "baby1/standard.nii.gz"))
    assert case.for_options(estimate_z=True, use_mask=False).remarks == ()
