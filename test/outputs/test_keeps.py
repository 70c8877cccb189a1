"""What must not get lost where results are written: masks that someone corrected, files of others, earlier results."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from folder_helpers import summary, write_maps
from inference_helpers import (
    GRID,
    MASK,
    PROBABILITIES,
    RESULTS,
    arguments,
    content,
    files_below,
    moved_aside,
    rule,
    small_maps,
    voxels_of,
)
from phantom import write_image

from model.files import sha256_of
from model.networks.predict import Predictor
from model.outputs.record import read_own_results

OVERWRITE = "--overwrite does the case again and moves what is there to previous/"


def statuses(output: Path) -> dict[str, str]:
    return {name: row["status"] for name, row in summary(output).items()}


@pytest.fixture
def while_predicting(monkeypatch):
    """Does something each time the networks run, before they answer."""

    def set_up(act) -> None:
        segment = Predictor.segment
        monkeypatch.setattr(Predictor, "segment", lambda *args: (act(), segment(*args))[1])

    return set_up


# --- a folder of cases: what is there and does not hold ---


@pytest.mark.parametrize("how", ["voxels", "link"])
def test_a_mask_that_was_changed_stays_until_overwrite_moves_it_aside(go, ran, output, count, how):
    mask, elsewhere = output / "a" / "lesions.mha", output.parent / "corrected.mha"
    written = mask.read_bytes()
    corrected = sitk.ReadImage(str(mask))
    corrected[3, 5, 2] = 0
    if how == "link":
        mask.unlink()
        mask.symlink_to(elsewhere)
    sitk.WriteImage(corrected, str(elsewhere if how == "link" else mask), True)
    edited, before = mask.read_bytes(), content(output / "a")
    code, _, error = go(ran, "--probabilities")
    assert code == 2
    assert f"a: {mask}: changed since it was written, or not of this program; {OVERWRITE}" in error
    assert content(output / "a") == before
    row = summary(output)["a"]
    assert (row["status"], row["mask"], row["lesion_volume_ml"]) == ("changed", "", "")
    assert len(count) == 1  # b alone is run again, for what it lacks
    assert go(ran, "--overwrite")[0] == 0
    assert (mask.read_bytes(), mask.is_symlink()) == (written, False)
    assert moved_aside(output)["a/lesions.mha"] == edited
    assert how != "link" or elsewhere.read_bytes() == edited


def test_results_that_lie_are_not_ours(go, ran, output):
    record = output / "a" / "results.json"
    text = record.read_text().replace('"lesions": 2', '"lesions": 3')
    record.write_text(text)
    code, _, error = go(ran)
    assert code == 2
    assert f"{output / 'a' / 'lesions.mha'}, " in error
    assert f"{output / 'a' / 'results.json'}: changed since it was written, or" in error
    assert (output / "a" / "results.json").read_text() == text
    assert statuses(output) == {"a": "changed", "b": "done before"}
    assert go(ran, "--overwrite")[0] == 0
    assert moved_aside(output)["a/results.json"] == text.encode()
    assert "a/lesions.mha" not in moved_aside(output)  # the same


def test_a_report_that_was_changed_stays_until_something_is_to_be_written(go, ran, output):
    (output / "a" / "report.html").write_text("with remarks")
    assert go(ran)[0] == 0  # nothing is missing
    assert go(ran, "--probabilities")[0] == 2
    assert (output / "a" / "report.html").read_text() == "with remarks"
    assert go(ran, "--report", "--overwrite")[0] == 0
    assert moved_aside(output)["a/report.html"] == b"with remarks"


def test_what_is_outdated_says_why_and_stays_until_overwrite(go, ran, output, monkeypatch, random_weights):
    before = content(output / "a") | content(output / "b")
    write_image(small_maps()[0] * 1.01, GRID, ran / "a" / "adc.mha")
    write_image(small_maps()[1] - 1, GRID, ran / "b" / "zadc.mha")
    monkeypatch.setattr("model.__version__", "0.0.9")
    write_maps(ran / "c", ".mha")
    words = ["--weights", str(random_weights), "--format", "nrrd"]
    code, out, error = go(ran, *words)
    assert (code, statuses(output)) == (2, {"a": "outdated", "b": "outdated", "c": "done"})
    for name, replaced in (("a", "ADC map"), ("b", "Z map")):
        row, of_run = summary(output)[name], "the weights were replaced and the version of this program changed"
        of_file = "the mask's name or format changed to lesions.nrrd since"
        assert row["reason"] == f"the {replaced} was replaced and {of_run} and {of_file}; {OVERWRITE}"
        assert f"{name}: outdated: {row['reason']}" in out
        assert row["reason"] in error
        assert (row["mask"], row["lesion_volume_ml"]) == ("", "")
    assert content(output / "a") | content(output / "b") == before
    assert go(ran, *words, "--overwrite")[0] == 0
    assert statuses(output) == {"a": "done", "b": "done", "c": "done before"}
    names = ("lesions.mha", "report.html", "results.json")  # the report is not asked for now
    assert moved_aside(output).keys() == {f"{case}/{name}" for case in "ab" for name in names}
    assert files_below(output / "a") == ["lesions.nrrd", "results.json"]


def test_options_that_the_maps_do_not_fit(go, ran, output):
    (ran / "b" / "adc.mha").rename(ran / "b" / "space-MNI152_adc.mha")  # a map in another space is another
    assert go(ran, "--adc-unit", "mm2/s")[0] == 2
    unit = "the ADC unit (--adc-unit) changed from 1e-6mm2/s"
    assert summary(output)["a"]["reason"] == f"{unit} since; {OVERWRITE}"
    assert summary(output)["b"]["reason"] == f"the ADC map was replaced and {unit} since; {OVERWRITE}"
    assert (output / "a" / "lesions.mha").exists()
    assert go(ran, "--adc-unit", "mm2/s", "--overwrite")[0] == 2
    assert statuses(output) == {"a": "failed", "b": "failed"}
    assert not (output / "a").exists()  # no earlier mask stays there as if it were the result
    assert "a/lesions.mha" in moved_aside(output)


def put_notes(folder: Path) -> set[str]:
    """Files of the user's in a case's folder: a reading, another reader's mask, a folder, links."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("notes.txt", "reader2.nii.gz", "lesions.nii.gz", "sub/deep.txt", ".hidden"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    (folder / "link").symlink_to("notes.txt")
    (folder / "dangling").symlink_to("nowhere")
    return {"notes.txt", "reader2.nii.gz", "lesions.nii.gz", "sub/deep.txt", ".hidden", "link", "dangling"}


@pytest.mark.parametrize("words", ["--report", "--format nrrd --overwrite"])
def test_files_of_others_in_the_folder_of_a_case_stay(go, ran, output, words):
    if "report" in words:
        shutil.rmtree(output / "a")
    mine = put_notes(output / "a")
    assert go(ran, *words.split())[0] == 0
    own = {"results.json", *(("lesions.mha", "report.html") if "report" in words else ("lesions.nrrd",))}
    assert set(files_below(output / "a")) == mine | own
    assert (output / "a" / "sub" / "deep.txt").read_text() == "mine"
    assert (output / "a" / "dangling").is_symlink()
    assert not {name for name in moved_aside(output) if name.removeprefix("a/") in mine}


@pytest.mark.parametrize(("where", "kind"), [("", "link"), ("", "file"), ("lesions.mha", "file"), ("results.json", "link")])
def test_what_lies_where_a_case_is_written_stays_until_overwrite_moves_it_aside(go, ran, output, tmp_path, where, kind):
    """Of someone who never ran this program here; a link is not written through."""
    precious = write_maps(tmp_path / "precious", ".mha")
    shutil.rmtree(output / "a")
    place = output / "a" / where
    place.parent.mkdir(exist_ok=True)
    if kind == "link":
        place.symlink_to(precious)
    else:
        place.write_text("{}")
    code, _, error = go(ran)
    assert code == 2
    what = "changed since it was written, or not of" if where else "expected a folder, found a link or a file"
    assert f"a: {place}: {what}" in error
    assert summary(output)["a"]["status"] == "changed"
    assert place.is_symlink() == (kind == "link")
    assert go(ran, "--overwrite")[0] == 0
    assert files_below(output / "a") == ["lesions.mha", "results.json"]
    assert files_below(precious) == ["adc.mha", "zadc.mha"]
    (moved,) = (output / "previous").glob(f"*/{place.relative_to(output)}")
    assert moved.readlink() == precious if kind == "link" else moved.read_text() == "{}"


@pytest.mark.parametrize(
    ("spoil", "corrected", "words"),
    [
        ("gone", False, ""),
        ("gone", True, ""),
        ("gone", True, "--overwrite"),
        ("empty", True, ""),
        ("empty", False, "--overwrite"),
    ],
)
def test_no_earlier_mask_outlives_a_refusal_but_one_that_someone_corrected(go, ran, output, spoil, corrected, words):
    put_notes(output / "a")
    mask, zadc = output / "a" / "lesions.mha", ran / "a" / "zadc.mha"
    if corrected:
        mask.write_text("corrected")
    before = mask.read_bytes()
    zadc.rename(ran.parent / "z.mha")
    if spoil == "empty":
        zadc.touch()
    code, _, error = go(ran, *words.split())
    assert code == 2
    row = summary(output)["a"]
    waits = spoil == "empty" and not words  # for --overwrite, whether its files can be read or not
    assert (row["status"], row["mask"], row["lesion_volume_ml"]) == ("changed" if waits else "failed", "", "")
    if corrected and not words:
        assert mask.read_bytes() == before
        assert waits or error.endswith(f"; {output / 'a'} is of an earlier run")
    else:
        assert not mask.exists()
        assert moved_aside(output)["a/lesions.mha"] == before
        (moved,) = (output / "previous").glob("*/a")
        assert error.endswith(f"; earlier results are in {moved}")
    assert (output / "a" / "notes.txt").read_text() == "mine"
    if spoil == "gone":
        (ran.parent / "z.mha").rename(zadc)
        assert go(ran)[0] == (2 if corrected and not words else 0)


def test_results_stay_when_more_of_them_cannot_be_made(go, ran, output, while_predicting):
    before = content(output / "a")
    while_predicting(lambda: (_ for _ in ()).throw(MemoryError))
    code, _, error = go(ran, "--probabilities")
    assert code == 2
    assert error.endswith(f"b: not enough memory; {output / 'b'} is of an earlier run")
    assert content(output / "a") == before
    assert moved_aside(output) == {}


@pytest.mark.parametrize("words", [(), ("--overwrite",)])
def test_a_mask_made_or_corrected_while_its_case_is_run_is_not_lost(go, ran, output, while_predicting, words):
    """It stays, or with --overwrite moves aside; a link in the place of a case's folder is not written through."""
    shutil.rmtree(output / "b")
    mask, elsewhere = output / "a" / "lesions.mha", output.parent / "elsewhere"
    elsewhere.mkdir()
    while_predicting(
        lambda: (mask.write_text("corrected") and (output / "b").exists()) or (output / "b").symlink_to(elsewhere)
    )
    code, _, error = go(ran, "--probabilities", *words)
    assert files_below(elsewhere) == []
    if words:
        assert code == 0
        assert moved_aside(output)["a/lesions.mha"] == b"corrected"
        assert summary(output)["a"]["status"] == "done"
    else:
        assert code == 2
        assert f"a: {mask}: changed since it was written, or not of this program, while the case was run; it stays" in error
        assert mask.read_text() == "corrected"
        assert statuses(output) == {"a": "changed", "b": "changed"}
        assert (output / "b").is_symlink()


def test_a_record_that_leads_out_of_its_folder_is_none(tmp_path):
    """Else what it names would move aside, wherever it lies."""
    record = tmp_path / "results.json"
    for name, own in (("a/b.txt", True), ("../b.txt", False), ("/b.txt", False)):
        results = {"files": {name: {"sha256": "", "bytes": 0}}}
        sum_ = hashlib.sha256(json.dumps(results, sort_keys=True).encode()).hexdigest()
        record.write_text(json.dumps(results | {"sha256": sum_}))
        assert (read_own_results(record) is not None) == own


def test_results_record_the_sums_of_the_files(go, ran, output, count):
    """Of all that is written, the voxels beside a header too; they are known again."""
    words = ("--format", "mhd", "--report", "--probabilities", "--overwrite")
    assert go(ran, *words)[0] == 0
    names = [name for name in files_below(output / "a") if name != "results.json"]
    assert len(names) == 5
    files = read_own_results(output / "a" / "results.json")["files"]
    assert {name: entry["sha256"] for name, entry in files.items()} == {n: sha256_of(output / "a" / n) for n in names}
    assert go(ran, *words)[0] == 0
    assert (len(count), statuses(output)) == (2, {"a": "done before", "b": "done before"})


# --- the output folder as a whole ---


@pytest.mark.parametrize("other", ["a/lesions.mha", "paper.docx", "summary.csv"])
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
    assert set(statuses(output).values()) == {"done"}


def test_an_overview_that_differs_moves_aside(go, ran, output):
    for _ in range(2):
        go(ran, "--report")  # says no more than that all was done before
    assert not (output / "previous").exists()
    overviews = {name: (output / name).read_bytes() for name in ("summary.csv", "index.html")}
    for name, data in overviews.items():
        (output / name).write_bytes(data + b"with a remark")
    go(ran, "--report")
    for name, data in overviews.items():
        assert (output / name).read_bytes() == data
        (moved,) = output.glob(f"previous/*/{name}")
        assert moved.read_bytes() == data + b"with a remark"


def test_scan_that_is_gone_is_listed_and_the_others_are_done(go, ran, output):
    shutil.rmtree(ran / "a")
    (ran / "b").rename(ran / "B")  # which is b on a file system that knows no capitals
    for name in ("Thumbs.db", "notes.txt", ".backup/precious"):
        (output / name).parent.mkdir(exist_ok=True)
        (output / name).touch()
    before = content(output / "a")
    code, out, _ = go(ran, "--report", "--overwrite")
    assert (code, statuses(output)) == (0, {"a": "scan gone", "B": "done"})
    assert "a: scan gone: an earlier run's results stay, their scan is not in the input any more" in out
    assert "2 cases: 1 done, 0 failed, 1 scan gone." in (output / "index.html").read_text()
    assert content(output / "a") == before
    assert all((output / name).exists() for name in ("Thumbs.db", "notes.txt", ".backup/precious"))


def test_what_moved_aside_is_taken_for_no_case(go, ran, output, main, rule_weights, capfd):
    """Neither as an output, nor where the output is the input: beside the cases, or of a run by a table."""
    (output / "a" / "lesions.mha").write_text("corrected")
    shutil.rmtree(ran / "b")
    go(ran, "--overwrite")
    assert moved_aside(output)["a/lesions.mha"] == b"corrected"
    assert statuses(output) == {"a": "done", "b": "scan gone"}
    shutil.copytree(output / "previous", ran / "previous")
    shutil.copy(ran / "a" / "adc.mha", next((ran / "previous").glob("*/a")))
    assert go(ran)[0] == 0
    assert sorted(summary(output)) == ["a", "b"]
    (ran / "list.csv").write_text("case,adc,zadc\nx,a/adc.mha,a/zadc.mha\n")
    for _ in range(2):
        assert main([*arguments(ran, ran, rule_weights), "--cases", "list.csv", "--overwrite"]) == 0
        capfd.readouterr()
    assert list(summary(ran)) == ["x"]
    (ran / "previous" / "adc.mha").write_text("of a case that is called so")
    assert "cannot name a case" in go(ran)[2]


def test_what_a_killed_run_left_is_gone(go, ran, output, tmp_path):
    """But no link, and nothing that is only called like it."""
    (output / ".a.0f3c0f3c.partial").mkdir()
    (output / ".a.0f3c0f3c.partial" / "lesions.mha").touch()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    (output / ".b.deadbeef.partial").symlink_to(tmp_path / "mine")
    for name in ("notes.partial", ".a.x.partial"):
        (output / name).mkdir()
    assert go(ran)[0] == 0
    hidden = [".a.x.partial", ".b.deadbeef.partial"]
    shown = ["a", "b", "index.html", "notes.partial", "summary.csv"]
    assert sorted(path.name for path in output.iterdir()) == [*hidden, *shown]
    assert files_below(tmp_path / "mine") == ["notes.txt"]


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
def test_whatever_lies_where_a_case_is_written_moves_aside_also_on_a_refusal(run, output, there):
    for _ in range(2):
        assert run("--report", "--probabilities")[0] == 0
    assert not (output / "previous").exists()  # the same again
    earlier = content(output)
    for name in FOREIGN:
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_text("mine")
    code, line = run(there=there)
    assert code == (0 if there else 2)
    assert there or "no such input folder" in line
    stay = {name for name, moves in FOREIGN.items() if not moves}
    assert content(output).keys() == stay | ({MASK, RESULTS} if there else set())
    assert moved_aside(output) == earlier | {name: b"mine" for name, moves in FOREIGN.items() if moves}
    if there:
        np.testing.assert_array_equal(voxels_of(output / MASK), rule(*small_maps()))


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
