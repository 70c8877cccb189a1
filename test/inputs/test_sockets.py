"""Where the case's two files are: as `inputs.json` says, else where the challenge puts them."""

import json
from pathlib import Path

import pytest
from finding import tree
from inference_helpers import ADC_FOLDER, ADC_SLUG, MASK, RESULTS, ZADC_FOLDER, ZADC_SLUG
from phantom import SOCKETS

from model.errors import UserError
from model.inputs.platform import find_scan
from model.names.platform_paths import MASK_PATH, RESULTS_PATH

CASE = Path(__file__).parents[1] / "case" / "input"


def entries(adc: object = ADC_FOLDER, zadc: object = ZADC_FOLDER, key: str = "socket") -> list[dict]:
    return [{key: {"slug": slug, "relative_path": where}} for slug, where in ((ZADC_SLUG, zadc), (ADC_SLUG, adc))]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The platform's tree, with empty files and without inputs.json."""
    return tree(tmp_path, f"{ADC_FOLDER}/adc.MHA {ADC_FOLDER}/notes.txt {ZADC_FOLDER}/z.mha other/adc/a.mha other/z/b.mha")


def declare(root: Path, manifest: object) -> None:
    (root / "inputs.json").write_text(manifest if isinstance(manifest, str) else json.dumps(manifest))


def refusal(root: Path) -> str:
    try:
        return find_scan(root).no_z
    except UserError as error:
        return str(error)


STANDARD = (f"{ADC_FOLDER}/adc.MHA", f"{ZADC_FOLDER}/z.mha")
OTHER = ("other/adc/a.mha", "other/z/b.mha")
AGE = {"socket": {"slug": "age-in-days", "relative_path": "age-in-days.json"}, "value": 3}
ELSEWHERE = entries("other/adc", "other/z", "interface")
FOUND = {  # manifests, and which files they name
    "none": (None, STANDARD),
    "interfaces": (ELSEWHERE, OTHER),
    "both": ([old | new for old, new in zip(entries(key="interface"), entries("other/adc", "other/z"), strict=True)], OTHER),
    "an empty socket": ([entry | {"socket": None} for entry in ELSEWHERE], OTHER),
    "another order and other sockets": ([AGE, *reversed(entries()), AGE], STANDARD),
}


@pytest.mark.parametrize("kind", FOUND)
def test_files_that_a_manifest_names(root, kind):
    manifest, expected = FOUND[kind]
    if manifest:
        declare(root, manifest)
    assert tuple(str(path.relative_to(root)) for path in find_scan(root).files) == expected


def test_names_are_the_platforms():
    assert (MASK_PATH, RESULTS_PATH) == (MASK, RESULTS)
    assert {slug: where for slug, (_, where, _) in SOCKETS.items()} == {ADC_SLUG: ADC_FOLDER, ZADC_SLUG: ZADC_FOLDER}
    assert [path.parent.relative_to(CASE) for path in find_scan(CASE).files] == [Path(ADC_FOLDER), Path(ZADC_FOLDER)]


NO_LIST = "expected a list of entries, each with a socket that has a slug and a relative_path"
REFUSED = [  # manifests, and what is said of the file
    *((text, "not readable as JSON") for text in ("", "[" * 100_000)),
    *((text, NO_LIST) for text in ("3", {"a": 1}, [None], [{}], [{"socket": {"slug": ADC_SLUG}}])),
    ([], f"expected a socket {ADC_SLUG} and {ZADC_SLUG}, found none"),
    *((entries(adc=where), f"relative_path of {ADC_SLUG} leaves the input folder: {where}") for where in ("../b", "/data")),
    ([entries()[0], AGE], f"expected a socket {ADC_SLUG}, found age-in-days, {ZADC_SLUG}"),
]


@pytest.mark.parametrize(("manifest", "says"), REFUSED, ids=lambda value: str(value)[:30])
def test_manifest_that_cannot_be_used_is_refused_by_name(root, manifest, says):
    declare(root, manifest)
    assert refusal(root).startswith(f"{root / 'inputs.json'}: {says}")


CONTENTS = {  # of a folder in place of one image, and what is found
    "": "nothing",
    "scan.nii.gz": "scan.nii.gz (a folder of cases, or other formats: --cases)",
    "1.mha 2.mha": "1.mha, 2.mha",
    "1.mha lesion_mask.mha": "1.mha, lesion_mask.mha",
    ".": "no folder",
}


@pytest.mark.parametrize("where", [ADC_FOLDER, ZADC_FOLDER])
@pytest.mark.parametrize("names", CONTENTS)
def test_folder_that_holds_no_single_image_is_named_with_its_content(root, where, names):
    folder = root / where
    for path in folder.iterdir():
        path.unlink()
    if names == ".":
        folder.rmdir()
        folder.touch()
    else:
        tree(folder, names)
    message = refusal(root)
    assert message.startswith(f"{folder}: expected")
    assert f"found {CONTENTS[names]}" in message


def test_a_manifest_that_names_a_missing_z_map_is_named(root):
    (root / ZADC_FOLDER).rename(root / "elsewhere")
    assert find_scan(root).zadc is None
    declare(root, entries())
    assert refusal(root).endswith(f"; {root / 'inputs.json'} says that there is one")


def test_missing_folder_is_named(tmp_path):
    assert refusal(tmp_path / "nowhere") == f"{tmp_path / 'nowhere'}: no such input folder, or not open to this user"
    assert refusal(tmp_path).startswith(str(tmp_path / ADC_FOLDER))


@pytest.mark.parametrize("there", ["", f"{ZADC_FOLDER}/.DS_Store", "a manifest without its socket"])
def test_scan_without_a_z_map(tmp_path, there):
    tree(tmp_path, f"{ADC_FOLDER}/scan.mha")
    if "manifest" in there:
        declare(tmp_path, entries()[1:])
    else:
        tree(tmp_path, there)
    case = find_scan(tmp_path)
    assert (case.name, case.adc, case.zadc, case.problem) == ("scan", tmp_path / ADC_FOLDER / "scan.mha", None, "")
    assert ZADC_SLUG in case.no_z or ZADC_FOLDER in case.no_z
    declare(tmp_path, entries())  # the platform promised one
    with pytest.raises(UserError, match=r"z-score-adc: expected (a folder with|exactly) one \.mha file"):
        find_scan(tmp_path)


@pytest.mark.parametrize("name", ["adc_brain_mask.mha", "lesion_mask.mha"])
def test_the_only_image_is_the_map_whatever_its_name(tmp_path, name):
    case = find_scan(tree(tmp_path, f"{ADC_FOLDER}/{name} {ZADC_FOLDER}/{name}"))
    assert case.files == (tmp_path / ADC_FOLDER / name, tmp_path / ZADC_FOLDER / name)


def test_a_mask_that_the_platform_does_not_hand_over_is_not_passed_over(tmp_path):
    tree(tmp_path, f"{ADC_FOLDER}/scan.mha {ADC_FOLDER}/scan_brain_mask.nii.gz")
    case = find_scan(tmp_path).for_options(estimate_z=True, use_mask=True)
    assert case.problem.endswith("expected a brain mask, found scan_brain_mask.nii.gz; expected one that ends in .mha")
    tree(tmp_path, f"{ADC_FOLDER}/scan_brain_mask.mha")
    assert find_scan(tmp_path).brain_mask == tmp_path / ADC_FOLDER / "scan_brain_mask.mha"
