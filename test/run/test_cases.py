"""Which cases a folder holds: the data set's layout, a folder for each case, the platform's layout, a CSV."""

from pathlib import Path

import pytest
from inference_helpers import ADC_FOLDER, ZADC_FOLDER

from model.errors import UserError
from model.run.find_cases import find_cases


def touch(root: Path, *names: str) -> Path:
    """Empty files; finding does not open them."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def only(root: Path, table: str | None = None) -> dict[str, tuple]:
    cases = find_cases(root, root / table if table else None)
    return {c.name: (str(c.adc.relative_to(root)), str(c.zadc.relative_to(root))) if c.adc else c.problem for c in cases}


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
    touch(
        tmp_path, f"baby 1/{adc}", f"baby 1/{zadc}", "baby 1/lesion.mha", "baby 1/notes.txt", ".hidden/adc.mha", "list.txt"
    )
    assert only(tmp_path) == {"baby 1": (f"baby 1/{adc}", f"baby 1/{zadc}")}


def test_two_files_that_could_be_the_adc_map(tmp_path):
    touch(tmp_path, "a/adc.mha", "a/adc.nii.gz", "a/zadc.mha", "b/zadc.mha", "c/notes.txt")
    cases = only(tmp_path)
    assert "that is the ADC map, 2 could be it: adc.mha, adc.nii.gz" in cases["a"]
    assert "that is the ADC map, none is there" in cases["b"]
    assert "none is there" in cases["c"]


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
        ("case,adc\na,b\n", "expected the columns case,adc,zadc, with commas, found case,adc"),
        ("case;adc;zadc\na;b;c\n", "found case;adc;zadc"),
        ("", "with commas, found none"),
        ("case,adc,zadc\n", "no case found"),
        ("case,adc,zadc\na,b\n", "line 2 does not have exactly one value"),
        ("case,adc,zadc\na,b,c,d\n", "line 2 does not have exactly one value"),
        ("case,adc,zadc\na,b,c\na,b,c\n", "found more than one a"),
        ('case,adc,zadc\n"a,b,c\n', "cannot be read as CSV"),
    ],
)
def test_csv_that_cannot_be_used(tmp_path, text, says):
    (tmp_path / "cases.csv").write_text(text)
    with pytest.raises(UserError, match=r"cases\.csv") as error:
        find_cases(tmp_path)
    assert says in str(error.value)


@pytest.mark.parametrize("name", ["../a", ".a", "summary.csv", "a\tb", "x" * 201])
def test_name_that_no_folder_can_have_is_that_cases_problem(tmp_path, name):
    touch(tmp_path, "b", "c")
    (tmp_path / "cases.csv").write_text(f"case,adc,zadc\n{name},b,c\ngood,b,c\n")
    cases = only(tmp_path)
    assert cases.pop("good") == ("b", "c")
    assert "cannot name a case" in next(iter(cases.values()))


def test_path_that_no_file_system_can_hold_is_that_cases_problem(tmp_path):
    touch(tmp_path, "b")
    (tmp_path / "cases.csv").write_text(f"case,adc,zadc\na,{'x' * 5000},b\ngood,b,b\n")
    assert only(tmp_path)["good"] == ("b", "b")
    assert only(tmp_path)["a"].startswith("no such file")


def test_csv_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(UserError, match=r"gone\.csv: no such file; a CSV is looked for in the input folder"):
        find_cases(tmp_path, tmp_path / "gone.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read as CSV"):
        find_cases(tmp_path, tmp_path / "bytes.csv")


def test_nothing_found_says_what_was_expected(tmp_path):
    touch(tmp_path, "adc.mha", "zadc.mha")
    with pytest.raises(UserError, match="no case found, expected 1ADC_ss/ and 2Z_ADC/ as in the data set"):
        find_cases(tmp_path)
