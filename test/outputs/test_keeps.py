"""What must not get lost where results are written: masks that someone corrected, files of others, earlier results."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from folder_helpers import summary, write_maps
from inference_helpers import GRID, MASK, PROBABILITIES, RESULTS, arguments, files_below, moved_aside, rule, small_maps
from phantom import write_image

from model.networks.predict import Predictor

OVERWRITE = "--overwrite does the case again and moves what is there to previous/"


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files_below(folder)}


def change_input(case: Path) -> None:
    write_image(small_maps()[1] - 1, GRID, case / "zadc.mha")


@pytest.fixture
def while_predicting(monkeypatch):
    """Does something each time the networks run, before they answer."""

    def set_up(act) -> None:
        segment = Predictor.segment
        monkeypatch.setattr(Predictor, "segment", lambda *args: (act(), segment(*args))[1])

    return set_up


# --- a folder of cases: what is there and does not hold ---


def edit(mask: Path, how: str) -> None:
    if how == "voxels":
        corrected = sitk.ReadImage(str(mask))
        corrected[3, 5, 2] = 0
        sitk.WriteImage(corrected, str(mask), True)
    elif how == "link":
        mask.rename(mask.parents[1] / "corrected.mha")
        mask.symlink_to(mask.parents[1] / "corrected.mha")
    else:
        mask.write_bytes({"text": b"corrected", "empty": b"", "cut": mask.read_bytes()[:-10]}[how])


@pytest.mark.parametrize("words", [(), ("--report",)])
@pytest.mark.parametrize("how", ["voxels", "text", "link", "empty", "cut"])
def test_a_mask_that_was_changed_stays_until_overwrite_moves_it_aside(go, good, output, count, words, how):
    go(good)
    mask = output / "a" / "lesions.mha"
    written = mask.read_bytes()
    edit(mask, how)
    edited, before = mask.read_bytes(), content(output / "a")
    code, _, error = go(good, *words)
    assert code == 2
    assert f"a: {mask}: changed since it was written, or not of this program; {OVERWRITE}" in error
    assert content(output / "a") == before
    row = summary(output)["a"]
    assert (row["status"], row["mask"], row["lesion_volume_ml"]) == ("changed", "", "")
    assert len(count) == (3 if words else 2)  # b alone is run again, for what it lacks
    assert go(good, *words, "--overwrite")[0] == 0
    assert (mask.read_bytes(), mask.is_symlink()) == (written, False)
    assert moved_aside(output)["a/lesions.mha"] == edited
    assert how != "link" or (output / "corrected.mha").read_bytes() == edited


@pytest.mark.parametrize("text", ["{}", "[1]", "[" * 200_000, '{"weights": 1}'], ids=["empty", "list", "deep", "lacking"])
def test_results_that_lie_are_not_ours(go, good, output, text):
    go(good)
    (output / "a" / "results.json").write_text(text)
    code, _, error = go(good)
    assert code == 2
    assert f"a: {output / 'a' / 'lesions.mha'}, {output / 'a' / 'results.json'}: changed since it was written, or" in error
    assert (output / "a" / "results.json").read_text() == text
    assert {name: row["status"] for name, row in summary(output).items()} == {"a": "changed", "b": "done before"}
    assert go(good, "--overwrite")[0] == 0
    assert moved_aside(output) == {"a/results.json": text.encode()}  # the mask is the same


def test_a_report_that_was_changed_stays_until_something_is_to_be_written(go, good, output):
    go(good, "--report")
    (output / "a" / "report.html").write_text("with remarks")
    assert go(good)[0] == 0  # nothing is missing
    for word in ("--report", "--probabilities"):
        assert go(good, word)[0] == 2
        assert (output / "a" / "report.html").read_text() == "with remarks"
    assert go(good, "--report", "--overwrite")[0] == 0
    assert moved_aside(output)["a/report.html"] == b"with remarks"


OTHERWISE = {  # what is done after a run, and the reason that the summary then has
    "ADC map": "the ADC map was replaced since",
    "Z map": "the Z map was replaced since",
    "space": "the ADC map was replaced since",
    "unit": "the ADC unit (--adc-unit) changed from 1e-6mm2/s since",
    "format": "the mask's name or format changed to lesions.nrrd since",
    "version": "the version of this program changed since",
    "both": "the ADC map was replaced and the weights were replaced since",
}


@pytest.mark.parametrize("what", OTHERWISE)
def test_what_is_outdated_stays_until_overwrite_and_new_cases_are_done(go, good, output, monkeypatch, random_weights, what):
    go(good)
    before = content(output / "a") | content(output / "b")
    words = {"both": ["--weights", str(random_weights)], "unit": ["--adc-unit", "mm2/s"], "format": ["--format", "nrrd"]}
    if what in ("ADC map", "both"):
        write_image(small_maps()[0] * 1.01, GRID, good / "a" / "adc.mha")
    if what == "Z map":
        change_input(good / "a")
    if what == "space":  # a template's, by the name
        (good / "a" / "adc.mha").rename(good / "a" / "space-MNI152_adc.mha")
    if what == "version":
        monkeypatch.setattr("model.__version__", "0.0.9")
    write_maps(good / "c", ".mha")
    if what == "unit":
        write_image(small_maps()[0] / 1e6, GRID, good / "c" / "adc.mha")
    code, out, error = go(good, *words.get(what, []))
    rows = summary(output)
    assert (code, rows["c"]["status"], rows["a"]["status"]) == (2, "done", "outdated")
    assert rows["a"]["reason"] == f"{OTHERWISE[what]}; {OVERWRITE}"
    assert (rows["a"]["mask"], rows["a"]["lesion_volume_ml"]) == ("", "")
    assert rows["b"]["status"] == ("done before" if what in ("ADC map", "Z map", "space") else "outdated")
    assert f"a: {OTHERWISE[what]}" in error
    assert f"a: outdated: {OTHERWISE[what]}" in out
    assert content(output / "a") | content(output / "b") == before
    assert go(good, *words.get(what, []), "--overwrite")[0] == (2 if what == "unit" else 0)  # a and b are not in mm2/s
    assert summary(output)["c"]["status"] == "done before"
    assert {name.split("/")[1] for name in moved_aside(output)} <= {"lesions.mha", "results.json"}
    assert "a/results.json" in moved_aside(output)
    assert ("a/lesions.mha" in moved_aside(output)) == (what in ("Z map", "unit", "format", "both"))
    assert (output / "a").exists() == (what != "unit")  # refused: no earlier mask stays there as if it were the result


def test_overwrite_does_not_redo_what_is_current(go, good, output, count):
    go(good)
    assert go(good, "--overwrite")[0] == 0
    assert len(count) == 2
    assert summary(output)["a"]["status"] == "done before"
    assert moved_aside(output) == {}


def put_notes(folder: Path) -> set[str]:
    """Files of the user's in a case's folder: a reading, another reader's mask, a folder, links."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("notes.txt", "reader2.nii.gz", "lesions.nii.gz", "sub/deep.txt", ".hidden"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    (folder / "link").symlink_to("notes.txt")
    (folder / "dangling").symlink_to("nowhere")
    return {"notes.txt", "reader2.nii.gz", "lesions.nii.gz", "sub/deep.txt", ".hidden", "link", "dangling"}


@pytest.mark.parametrize("words", ["", "--report", "--format nrrd --overwrite", "--probabilities"])
@pytest.mark.parametrize("ran", [True, False])
def test_files_of_others_in_the_folder_of_a_case_stay(go, good, output, ran, words):
    if ran:
        go(good)
    mine = put_notes(output / "a")
    assert go(good, *words.split(), *([] if ran else ["--overwrite"]))[0] == 0
    own = {"results.json", "lesions.nrrd" if "nrrd" in words else "lesions.mha"}
    own |= {f"{word[2:]}.html" for word in words.split()} & {"report.html"}
    own |= {f"{word[2:]}.mha" for word in words.split()} & {"probabilities.mha"}
    assert set(files_below(output / "a")) == mine | own
    assert (output / "a" / "notes.txt").read_text() == "mine"
    assert (output / "a" / "dangling").is_symlink()
    assert not {name for name in moved_aside(output) if name.removeprefix("a/") in mine}


@pytest.mark.parametrize("where", ["lesions.mha", "results.json", "folder"])
@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_lies_where_a_case_is_written_stays_until_overwrite_moves_it_aside(go, good, output, tmp_path, where, kind):
    """Of someone who never ran this program here; a link is not written through."""
    precious = write_maps(tmp_path / "precious", ".mha")
    go(good)
    shutil.rmtree(output / "a")
    place = output / "a" if where == "folder" else output / "a" / where
    place.parent.mkdir(exist_ok=True)
    if kind == "link":
        place.symlink_to(precious)
    else:
        place.write_text("{}")
    code, _, error = go(good)
    assert code == 2
    what = "expected a folder, found a link or a file" if where == "folder" else "changed since it was written, or not of"
    assert f"a: {place}: {what}" in error
    assert summary(output)["a"]["status"] == "changed"
    assert place.is_symlink() == (kind == "link")
    assert go(good, "--overwrite")[0] == 0
    assert files_below(output / "a") == ["lesions.mha", "results.json"]
    assert files_below(precious) == ["adc.mha", "zadc.mha"]
    (moved,) = (output / "previous").glob(f"*/{place.relative_to(output)}")
    assert moved.readlink() == precious if kind == "link" else moved.read_text() == "{}"


@pytest.mark.parametrize("spoil", ["file gone", "file empty"])
@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("words", [(), ("--overwrite",)])
def test_no_earlier_mask_outlives_a_refusal_but_one_that_someone_corrected(go, good, output, spoil, corrected, words):
    go(good)
    put_notes(output / "a")
    mask = output / "a" / "lesions.mha"
    if corrected:
        mask.write_text("corrected")
    before = mask.read_bytes()
    if spoil == "file empty":
        (good / "a" / "zadc.mha").write_bytes(b"")
    else:
        (good / "a" / "zadc.mha").rename(good.parent / "z.mha")
    code, _, error = go(good, *words)
    assert code == 2
    row = summary(output)["a"]
    waits = spoil == "file empty" and not words  # for --overwrite, whether its files can be read or not
    status = ("changed" if corrected else "outdated") if waits else "failed"
    assert (row["status"], row["mask"], row["lesion_volume_ml"]) == (status, "", "")
    if waits or (corrected and not words):
        assert mask.read_bytes() == before
        assert waits or error.endswith(f"; {output / 'a'} is of an earlier run")
    else:
        assert not mask.exists()
        assert moved_aside(output)["a/lesions.mha"] == before
        (moved,) = (output / "previous").glob("*/a")
        assert error.endswith(f"; earlier results are in {moved}")
    assert (output / "a" / "notes.txt").read_text() == "mine"
    if spoil != "file empty":
        (good.parent / "z.mha").rename(good / "a" / "zadc.mha")
        assert go(good)[0] == (2 if corrected and not words else 0)


def test_results_stay_when_more_of_them_cannot_be_made(go, good, output, while_predicting):
    go(good)
    before = content(output / "a")
    while_predicting(lambda: (_ for _ in ()).throw(MemoryError))
    code, _, error = go(good, "--probabilities")
    assert code == 2
    assert error.endswith(f"b: not enough memory; {output / 'b'} is of an earlier run")
    assert content(output / "a") == before
    assert moved_aside(output) == {}


@pytest.mark.parametrize("words", [(), ("--overwrite",)])
def test_a_mask_made_or_corrected_while_its_case_is_run_is_not_lost(go, good, output, while_predicting, words):
    """It stays, or with --overwrite moves aside; a link in the place of a case's folder is not written through."""
    go(good)
    shutil.rmtree(output / "b")
    mask, elsewhere = output / "a" / "lesions.mha", output.parent / "elsewhere"
    elsewhere.mkdir()
    while_predicting(
        lambda: (mask.write_text("corrected") and (output / "b").exists()) or (output / "b").symlink_to(elsewhere)
    )
    code, _, error = go(good, "--probabilities", *words)
    assert files_below(elsewhere) == []
    if words:
        assert code == 0
        assert moved_aside(output)["a/lesions.mha"] == b"corrected"
        assert summary(output)["a"]["status"] == "done"
    else:
        assert code == 2
        assert f"a: {mask}: changed since it was written, or not of this program, while the case was run; it stays" in error
        assert mask.read_text() == "corrected"
        assert {row["status"] for row in summary(output).values()} == {"changed"}
        assert (output / "b").is_symlink()


def test_record_that_leads_out_of_its_folder_moves_nothing(go, good, output, tmp_path):
    """A results.json of someone else that names files of the user's, whose sums are right."""
    from model.outputs.record import with_record
    from model.report.results import write_results

    go(good)
    thesis, notes, record = tmp_path / "thesis.txt", output / "a" / "notes.txt", output / "a" / "results.json"
    results = json.loads(record.read_text())
    for path in (thesis, notes):
        path.write_text("mine")
    inner = tmp_path / "forged" / "x" / "y"
    inner.mkdir(parents=True)
    files = results["files"] | {
        name: {"sha256": hashlib.sha256(b"mine").hexdigest(), "bytes": 4} for name in ("../../thesis.txt", "notes.txt")
    }
    forged = with_record(results, inner) | {"files": files}
    kept = {key: value for key, value in forged.items() if key != "sha256"}
    forged["sha256"] = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
    write_results(forged, record)
    change_input(good / "a")
    assert go(good, "--overwrite", "--probabilities")[0] == 0
    assert summary(output)["a"]["status"] == "done"
    assert thesis.read_text() == "mine"
    assert "mine" in [path.read_text() for path in (notes, *output.glob("previous/*/a/notes.txt")) if path.exists()]


@pytest.mark.parametrize("suffix", [".mha", ".nii.gz", ".nrrd", ".mhd"])
def test_results_record_the_sums_of_the_files(go, good, output, suffix):
    go(good, "--format", suffix, "--report", "--probabilities")
    results = json.loads((output / "a" / "results.json").read_text())
    names = [name for name in files_below(output / "a") if name != "results.json"]
    sums = {name: hashlib.sha256((output / "a" / name).read_bytes()).hexdigest() for name in names}
    assert {name: entry["sha256"] for name, entry in results["files"].items()} == sums
    assert len(names) == (5 if suffix == ".mhd" else 3)
    assert go(good, "--format", suffix, "--report", "--probabilities")[0] == 0
    assert summary(output)["a"]["status"] == "done before"


# --- the output folder as a whole ---


@pytest.mark.parametrize("other", ["a/lesions.mha", "b/results.json", "old/thing.txt", "paper.docx", "summary.csv"])
def test_output_with_something_else_is_refused_until_overwrite(go, good, output, other):
    (output / other).parent.mkdir(parents=True, exist_ok=True)
    (output / other).write_text("{}")
    code, _, error = go(good)
    assert code == 2
    assert f"found {other.split('/')[0]}; name another folder, or say --overwrite" in error
    assert files_below(output) == [other]
    assert go(good, "--overwrite")[0] == 0
    kept = [output / other, *output.glob(f"previous/*/{other}")]
    assert b"{}" in [path.read_bytes() for path in kept if path.exists()]
    assert {row["status"] for row in summary(output).values()} == {"done"}


@pytest.mark.parametrize("name", ["summary.csv", "index.html"])
def test_an_overview_that_differs_moves_aside(go, good, output, name):
    go(good, "--report")
    for _ in range(2):
        go(good, "--report")  # says no more than that all was done before
    assert not (output / "previous").exists()
    data = (output / name).read_bytes()
    (output / name).write_bytes(data + b"with a remark")
    go(good, "--report")
    assert (output / name).read_bytes() == data
    (moved,) = output.glob(f"previous/*/{name}")
    assert moved.read_bytes() == data + b"with a remark"


def test_scan_that_is_gone_is_listed_and_the_others_are_done(go, good, output):
    go(good, "--report")
    shutil.rmtree(good / "a")
    write_maps(good / "c", ".mha")
    for name in ("Thumbs.db", "notes.txt", ".backup/precious"):
        (output / name).parent.mkdir(exist_ok=True)
        (output / name).touch()
    before = content(output / "a")
    code, out, _ = go(good, "--report", "--overwrite")
    assert code == 0
    assert {name: row["status"] for name, row in summary(output).items()} == {
        **{"a": "scan gone", "b": "done before", "c": "done"}
    }
    assert "a: scan gone: an earlier run's results stay, their scan is not in the input any more" in out
    assert "3 cases: 2 done, 0 failed, 1 scan gone." in (output / "index.html").read_text()
    assert content(output / "a") == before
    assert all((output / name).exists() for name in ("Thumbs.db", "notes.txt", ".backup/precious"))


def test_what_moved_aside_is_taken_for_no_case(go, good, output, main, rule_weights, capfd):
    """Neither as an output, nor where the output is the input: beside the cases, or of a run by a table."""
    go(good)
    (output / "a" / "lesions.mha").write_text("corrected")
    shutil.rmtree(good / "b")
    go(good, "--overwrite")
    assert moved_aside(output)["a/lesions.mha"] == b"corrected"
    assert {name: row["status"] for name, row in summary(output).items()} == {"a": "done", "b": "scan gone"}
    shutil.copytree(output / "previous", good / "previous")
    shutil.copy(good / "a" / "adc.mha", next((good / "previous").glob("*/a")))
    assert go(good)[0] == 0
    assert sorted(summary(output)) == ["a", "b"]
    (good / "list.csv").write_text("case,adc,zadc\nx,a/adc.mha,a/zadc.mha\n")
    for _ in range(2):
        assert main([*arguments(good, good, rule_weights), "--cases", "list.csv", "--overwrite"]) == 0
        capfd.readouterr()
    assert list(summary(good)) == ["x"]
    (good / "previous" / "adc.mha").write_text("of a case that is called so")
    assert "cannot name a case" in go(good)[2]


@pytest.mark.parametrize("case", ["beside", "the input itself"])
def test_input_that_results_would_replace_is_refused(main, good, rule_weights, capfd, case):
    if case == "beside":
        (good / "list.csv").write_text("case,adc,zadc\na,a/adc.mha,a/zadc.mha\n")
        scans, output, words = good, good, ["list.csv"]
    else:
        scans = good.rename(good.with_name("a"))
        output, words = scans.parent, []
    before = files_below(scans)
    for more in ([], ["--overwrite"]):
        assert main([*arguments(scans, output, rule_weights), "--cases", *words, *more]) == 2
        assert "the results of a would replace" in capfd.readouterr().err
    assert files_below(scans) == before


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_only_has_the_name_of_a_cut_off_run_stays(go, good, output, tmp_path, kind):
    output.mkdir()
    place = output / ".a.deadbeef.partial"
    (tmp_path / "mine").mkdir()
    if kind == "link":
        (tmp_path / "mine" / "written-by-hie-lesions").touch()
        place.symlink_to(tmp_path / "mine")
    elif kind == "folder":
        place.mkdir()
        (place / "notes.txt").write_text("mine")
    else:
        place.write_text("mine")
    assert go(good)[0] == 0
    assert place.is_symlink() if kind == "link" else place.exists()
    assert kind != "folder" or (place / "notes.txt").read_text() == "mine"
    assert kind != "link" or files_below(tmp_path / "mine") == ["written-by-hie-lesions"]


# --- one case ---


@pytest.fixture
def run(main, case_tree, output, rule_weights, capfd):
    """Runs one case into the output folder; returns the exit code and the last line of stderr."""
    case = case_tree()

    def go(*words: str, there: bool = True) -> tuple[int, str]:
        source = case if there else case / "nothere"
        code = main([*arguments(source, output, rule_weights), *words])
        return code, (capfd.readouterr().err.splitlines() or [""])[-1]

    return go


FOREIGN = {  # what lies in the output folder, and whether that is where a case's files are written
    MASK: True,
    str(Path(MASK).with_name("mine.mha")): True,
    RESULTS: True,
    "report.html": True,
    str(Path(PROBABILITIES).with_name("notes.txt")): True,
    "notes.txt": False,
    "images/other/mine.mha": False,
}


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("ran", [True, False])
def test_whatever_lies_where_a_case_is_written_moves_aside_also_on_a_refusal(run, output, there, ran):
    if ran:
        assert run("--report", "--probabilities")[0] == 0
    earlier = content(output) if ran else {}
    for name in FOREIGN:
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_text("mine")
    code, line = run(there=there)
    assert code == (0 if there else 2)
    assert there or "no such input folder" in line
    stay = {name for name, moves in FOREIGN.items() if not moves}
    assert content(output).keys() == stay | ({MASK, RESULTS} if there else set())
    moved = earlier | {name: b"mine" for name, moves in FOREIGN.items() if moves}
    assert moved_aside(output) == moved
    if there:
        np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(output / MASK))), rule(*small_maps()))


@pytest.mark.parametrize("kind", ["folder", "link", "file"])
def test_what_is_of_another_kind_moves_aside_too(run, output, tmp_path, kind):
    (tmp_path / "precious").mkdir()
    output.mkdir()
    if kind == "folder":
        (output / RESULTS / "deep").mkdir(parents=True)
    elif kind == "link":
        (output / "images").symlink_to(tmp_path / "precious")
    else:
        (output / "images").write_text("mine")
    assert run()[0] == 0
    assert content(output).keys() == {MASK, RESULTS}
    assert files_below(tmp_path / "precious") == []


def test_the_same_case_again_leaves_nothing_aside(run, output):
    for _ in range(2):
        assert run("--report", "--probabilities")[0] == 0
    assert not (output / "previous").exists()


@pytest.mark.parametrize("fails", [False, True])
def test_file_made_while_the_case_is_run_is_not_lost(run, output, while_predicting, fails):
    def meanwhile() -> None:
        (output / MASK).parent.mkdir(parents=True, exist_ok=True)
        (output / MASK).write_text("mine")
        if fails:
            raise ZeroDivisionError("deep inside")

    while_predicting(meanwhile)
    assert run()[0] == (1 if fails else 0)
    if fails:
        assert content(output) == {MASK: b"mine"}
    else:
        assert content(output).keys() == {MASK, RESULTS}
        assert moved_aside(output) == {MASK: b"mine"}
