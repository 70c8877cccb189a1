"""Where the case's two files are: as `inputs.json` says, else where the challenge puts them."""

import json
import re
from pathlib import Path

import pytest
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


def test_names_are_the_platforms():
    assert MASK_PATH == MASK
    assert RESULTS_PATH == RESULTS
    assert {slug: where for slug, (_, where, _) in SOCKETS.items()} == {ADC_SLUG: ADC_FOLDER, ZADC_SLUG: ZADC_FOLDER}


def test_challenges_paths_without_a_manifest(root):
    assert found(root) == STANDARD


@pytest.mark.parametrize("key", ["socket", "interface"])
def test_paths_are_the_manifests(root, key):
    declare(root, entries("other/adc", "other/z", key))
    assert found(root) == OTHER


def test_socket_goes_before_interface(root):
    both = [old | new for old, new in zip(entries(key="interface"), entries("other/adc", "other/z"), strict=True)]
    declare(root, both)
    assert found(root) == OTHER


def test_empty_socket_leaves_the_interface(root):
    declare(root, [entry | {"socket": None} for entry in entries("other/adc", "other/z", "interface")])
    assert found(root) == OTHER


def test_order_and_other_sockets_do_not_matter(root):
    age = {"socket": {"slug": "age-in-days", "relative_path": "age-in-days.json"}, "value": 3}
    declare(root, [age, *reversed(entries()), age])
    assert found(root) == STANDARD


def test_built_in_case_is_found():
    assert [path.parent.relative_to(CASE) for path in find_inputs(CASE)] == [Path(ADC_FOLDER), Path(ZADC_FOLDER)]


@pytest.mark.parametrize(
    "manifest",
    [
        *("", "{", "not JSON", "null", "3", '"text"', "[" * 100_000),
        *({}, {"a": 1}, [], [None], ["text"], [[]], [{}]),
        *([{"socket": None}], [{"socket": {}}], [{"socket": [1]}], [{"socket": {"slug": ADC_SLUG}}]),
        [{"socket": {"slug": [ADC_SLUG], "relative_path": "a"}}],
    ],
    ids=lambda manifest: str(manifest)[:30],
)
def test_malformed_manifest_is_refused_by_name(root, manifest):
    declare(root, manifest)
    assert refusal(root).startswith(f"{root / 'inputs.json'}: ")


def test_manifest_that_is_no_file_is_refused(root):
    (root / "inputs.json").mkdir()
    assert refusal(root).startswith(f"{root / 'inputs.json'}: ")


def test_manifest_without_one_of_the_slugs_names_it_and_what_is_there(root):
    declare(root, [entries()[0], {"socket": {"slug": "head-ct", "relative_path": "images/ct"}}])
    assert re.search(rf"inputs.json: expected a socket {ADC_SLUG}, found head-ct, {ZADC_SLUG}$", refusal(root))


@pytest.mark.parametrize("where", ["/etc", "..", "../input", "images/../../secret", "images/.."])
def test_path_that_leaves_the_input_folder_is_refused(root, where):
    declare(root, entries(where))
    assert refusal(root) == f"{root / 'inputs.json'}: relative_path of {ADC_SLUG} leaves the input folder: {where}"


@pytest.mark.parametrize("where", ["missing", ".", "a" * 300, "a\0b", None, 5, ["images"]])
def test_path_without_an_image_is_refused(root, where):
    declare(root, entries(where))
    assert refusal(root).startswith(str(root))


@pytest.mark.parametrize("where", [ADC_FOLDER, ZADC_FOLDER])
@pytest.mark.parametrize("content", ["nothing", "two", "another type", "a file"])
def test_folder_that_holds_no_single_image_is_named_with_its_content(root, where, content):
    folder = root / where
    image = next(folder.iterdir())
    if content == "two":
        (folder / "second.mha").touch()
        assert "name, found " + ", ".join(sorted([image.name, "second.mha"])) in refusal(root)
        assert str(folder) in refusal(root)
        return
    image.unlink()
    if content == "another type":
        (folder / "scan.nii.gz").touch()
        assert "found scan.nii.gz (a folder of cases, or other formats: --cases)" in refusal(root)
    if content == "a file":
        folder.rmdir()
        folder.touch()
    assert refusal(root).startswith(f"{folder}: expected")


def test_missing_folder_is_named(tmp_path):
    assert refusal(tmp_path / "nowhere") == f"{tmp_path / 'nowhere'}: no such input folder, or not open to this user"
    assert refusal(tmp_path).startswith(str(tmp_path / ADC_FOLDER))


def test_suffix_in_capitals_is_read_too(root):
    image = root / ADC_FOLDER / "adc.mha"
    image.rename(image.with_suffix(".MHA"))
    assert found(root) == (f"{ADC_FOLDER}/adc.MHA", STANDARD[1])


def test_other_files_beside_the_image_do_not_matter(root):
    (root / ADC_FOLDER / "notes.txt").touch()
    assert found(root) == STANDARD
