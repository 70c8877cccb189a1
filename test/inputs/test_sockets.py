"""Where the case's two files are: as `inputs.json` says, else where the challenge puts them."""

import json
from pathlib import Path

import pytest
from finding import tree
from inference_helpers import ADC_FOLDER, ADC_SLUG, MASK, RESULTS, ZADC_FOLDER, ZADC_SLUG
from phantom import SOCKETS

from model.errors import UserError
from model.inputs.platform import find_inputs
from model.names.platform_paths import MASK_PATH, RESULTS_PATH

CASE = Path(__file__).parents[1] / "case" / "input"


def entries(adc: object = ADC_FOLDER, zadc: object = ZADC_FOLDER, key: str = "socket") -> list[dict]:
    return [{key: {"slug": slug, "relative_path": where}} for slug, where in ((ZADC_SLUG, zadc), (ADC_SLUG, adc))]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The platform's tree, with empty files and without inputs.json."""
    for where, name in ((ADC_FOLDER, "adc.mha"), (ZADC_FOLDER, "z.mha"), ("other/adc", "a.mha"), ("other/z", "b.mha")):
        (tmp_path / where).mkdir(parents=True)
        (tmp_path / where / name).touch()
    return tmp_path


def found(root: Path) -> tuple[str, str]:
    adc, zadc = find_inputs(root)
    return str(adc.relative_to(root)), str(zadc.relative_to(root))


def declare(root: Path, manifest: object) -> None:
    (root / "inputs.json").write_text(manifest if isinstance(manifest, str) else json.dumps(manifest))


def refusal(root: Path) -> str:
    with pytest.raises(UserError) as error:
        find_inputs(root)
    assert "\n" not in str(error.value)
    return str(error.value)


STANDARD = (f"{ADC_FOLDER}/adc.mha", f"{ZADC_FOLDER}/z.mha")
OTHER = ("other/adc/a.mha", "other/z/b.mha")
AGE = {"socket": {"slug": "age-in-days", "relative_path": "age-in-days.json"}, "value": 3}
ELSEWHERE = entries("other/adc", "other/z", "interface")
FOUND = {  # manifests, and which files they name
    "none": (None, STANDARD),
    "sockets": (entries("other/adc", "other/z"), OTHER),
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
    assert found(root) == expected


def test_suffix_in_capitals_is_read_and_other_files_do_not_matter(root):
    (root / ADC_FOLDER / "notes.txt").touch()
    image = root / ADC_FOLDER / "adc.mha"
    image.rename(image.with_suffix(".MHA"))
    assert found(root) == (f"{ADC_FOLDER}/adc.MHA", STANDARD[1])


def test_names_are_the_platforms():
    assert (MASK_PATH, RESULTS_PATH) == (MASK, RESULTS)
    assert {slug: where for slug, (_, where, _) in SOCKETS.items()} == {ADC_SLUG: ADC_FOLDER, ZADC_SLUG: ZADC_FOLDER}
    assert [path.parent.relative_to(CASE) for path in find_inputs(CASE)] == [Path(ADC_FOLDER), Path(ZADC_FOLDER)]


NO_LIST = "expected a list of entries, each with a socket that has a slug and a relative_path"
REFUSED = [  # manifests, and what is said of the file
    *((text, "not readable as JSON") for text in ("", "{", "not JSON", "[" * 100_000)),
    *((text, NO_LIST) for text in ("null", "3", '"text"', {"a": 1}, [None], ["text"], [[]], [{}], [{"socket": None}])),
    *(([{"socket": socket}], NO_LIST) for socket in ({}, [1], {"slug": ADC_SLUG})),
    ([{"socket": {"slug": [ADC_SLUG], "relative_path": "a"}}], NO_LIST),
    *((text, f"expected a socket {ADC_SLUG} and {ZADC_SLUG}, found none") for text in ({}, [])),
    (
        [entries()[0], {"socket": {"slug": "head-ct", "relative_path": "images/ct"}}],
        f"expected a socket {ADC_SLUG}, found head-ct, {ZADC_SLUG}",
    ),
]


@pytest.mark.parametrize(("manifest", "says"), REFUSED, ids=lambda value: str(value)[:30])
def test_manifest_that_cannot_be_used_is_refused_by_name(root, manifest, says):
    declare(root, manifest)
    assert refusal(root).startswith(f"{root / 'inputs.json'}: {says}")


def test_manifest_that_is_no_file_is_refused(root):
    (root / "inputs.json").mkdir()
    assert refusal(root).startswith(f"{root / 'inputs.json'}: ")


@pytest.mark.parametrize("where", ["missing", ".", "a" * 300, None])
def test_path_without_an_image_is_refused(root, where):
    declare(root, entries(where))
    assert refusal(root).startswith(str(root))


CONTENTS = {  # of a folder in place of one image, and what is found
    "": "nothing",
    "scan.nii.gz": "scan.nii.gz (a folder of cases, or other formats: --cases)",
    "1.mha 2.mha": "1.mha, 2.mha",
    ".": "no folder",
}


@pytest.mark.parametrize("where", [ADC_FOLDER, ZADC_FOLDER])
@pytest.mark.parametrize("names", CONTENTS)
def test_folder_that_holds_no_single_image_is_named_with_its_content(root, where, names):
    folder = root / where
    next(folder.iterdir()).unlink()
    if names == ".":
        folder.rmdir()
        folder.touch()
    else:
        tree(folder, names)
    message = refusal(root)
    assert message.startswith(f"{folder}: expected")
    assert f"found {CONTENTS[names]}" in message


def test_missing_folder_is_named(tmp_path):
    assert refusal(tmp_path / "nowhere") == f"{tmp_path / 'nowhere'}: no such input folder, or not open to this user"
    assert refusal(tmp_path).startswith(str(tmp_path / ADC_FOLDER))
