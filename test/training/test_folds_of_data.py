"""The committed folds, a folder's own splits.json, and what keeps a case from being scored by what it taught."""

import argparse
import dataclasses
import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from training_helpers import invented_case, write_packed

from model.errors import UserError
from model.networks.stored import IMAGE_WEIGHTS
from training import splits
from training.common.provenance import licence, of_fit
from training.data.dataset import PackedCase, load_folds
from training.data.splits import SPLITS, folds_of, read_folds
from training.data.strata import load_class
from training.pages.cohort import require_elsewhere, require_one_cohort
from training.scores.configuration import configuration_of, write_configuration
from training.scores.places import results_of, weights_of
from training.scores.rows import RESULTS, Row, read_records

COMMITTED = read_folds(SPLITS).held_out


def drawn(name: str, lesion_voxels: int, slice_mm: float = 2.0) -> PackedCase:
    """A brain of 1000 voxels in a volume of 1100."""
    brain = np.pad(np.ones((10, 4, 25), np.float32), ((0, 1), (0, 0), (0, 0)))
    label = (np.arange(1100) < lesion_voxels).reshape(brain.shape)
    return PackedCase(name, brain, brain, label, (slice_mm, 1.0, 1.0))


def test_every_committed_case_validates_exactly_one_fold() -> None:
    names = list(itertools.chain(*COMMITTED))
    assert sorted(map(len, COMMITTED)) == [8, 9, 9, 9, 9]
    assert len(set(names)) == 44
    for fold in range(5):
        training, validation = read_folds(SPLITS).of(fold)
        assert validation == list(COMMITTED[fold])
        assert sorted(training + validation) == sorted(names)
    for fold in (-1, 5):
        with pytest.raises(UserError, match=f"expected a fold from 0 to 4, found {fold}"):
            read_folds(SPLITS).of(fold)


@pytest.mark.parametrize(("voxels", "expected"), [(0, 0), (1, 1), (10, 1), (11, 2), (50, 2), (51, 3), (900, 3)])
def test_load_class(voxels: int, expected: int) -> None:
    case = drawn("a", voxels)
    assert (case.load_class, case.lesion_load) == (expected, voxels / 1000)


def test_deal_spreads_every_stratum_evenly() -> None:
    """47 cases: 4 empty, 13 below 1 %, 18 of 1-5 %, 12 above; a third with thick slices."""
    rng = np.random.default_rng(1)
    voxels = [0] * 4 + [*rng.integers(1, 10, 13)] + [*rng.integers(11, 50, 18)] + [*rng.integers(51, 600, 12)]
    cases = [drawn(f"case{i:02d}", int(n), 6.0 if i % 3 == 0 else 2.0) for i, n in enumerate(voxels)]
    folds = splits.deal(cases)
    assert sorted(itertools.chain(*folds)) == [case.name for case in cases]
    for kind in (lambda case: (case.load_class, case.spacing_mm[0]), lambda case: case.load_class):
        for stratum in set(map(kind, cases)):
            members = {case.name for case in cases if kind(case) == stratum}
            counts = [len(members & set(fold)) for fold in folds]
            assert max(counts) - min(counts) <= 1, stratum


def test_the_deal_is_known() -> None:
    """The committed rows give the committed folds; seven equal cases come as numpy's seed 0 has them, 2 4 3 6 5 0 1."""
    rows = {row.case: (row.lesion_load, row.slice_mm) for row in read_records(RESULTS / "crossval.csv", Row)}
    cases = [
        SimpleNamespace(name=name, lesion_load=load, load_class=load_class(load, load > 0), spacing_mm=(slice_mm,))
        for name, (load, slice_mm) in sorted(rows.items())
    ]
    assert splits.deal(cases) == [sorted(fold) for fold in COMMITTED]
    assert splits.deal([drawn(str(n), 0) for n in range(7)]) == [["0", "2"], ["1", "4"], ["3"], ["6"], ["5"]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Eleven packed cases."""
    for number in range(11):
        write_packed(invented_case(number), tmp_path)
    return tmp_path


def test_dealt_folds_are_used_and_told(data: Path, command, capsys) -> None:
    command(splits.main, "--data", data)
    first = (data / "splits.json").read_bytes()
    cases = load_folds(data)
    assert capsys.readouterr().out.strip() == "11 cases in the 5 folds of splits.json of the data"
    assert {name: case.fold for name, case in cases.items()} == folds_of(data).fold_of
    assert sorted(map(len, folds_of(data).held_out)) == [2, 2, 2, 2, 3]
    configuration = configuration_of(cases.values())
    assert configuration["folds"] == json.loads(first)["folds"]
    assert of_fit("training.fit", cases)["folds"] == "11 cases in the 5 folds of splits.json of the data"
    assert "replaced" not in command(splits.main, "--data", data)
    assert (data / "splits.json").read_bytes() == first
    write_packed(invented_case(11), data)
    assert "replaced; weights and rows of the earlier folds do not fit" in command(splits.main, "--data", data)


def test_what_was_not_named_goes_beside_data_with_folds_of_their_own(data: Path, command) -> None:
    args = argparse.Namespace(data=data, results=None, weights=None)
    assert (results_of(args), weights_of(args)) == (RESULTS, IMAGE_WEIGHTS)
    command(splits.main, "--data", data)
    assert (results_of(args), weights_of(args)) == (data / "results", data / "weights")
    args.results = data / "rows"
    assert results_of(args) == data / "rows"


def test_the_committed_folds_hold_elsewhere_and_say_what_they_leave_out(tmp_path: Path, capsys) -> None:
    for number, name in enumerate(read_folds(SPLITS).fold_of):
        write_packed(dataclasses.replace(invented_case(number), name=name), tmp_path)
    write_packed(invented_case(50), tmp_path)
    assert len(load_folds(tmp_path)) == 44
    line = capsys.readouterr().out
    assert line.startswith("44 cases in the 5 folds of training/data/splits.json; 1 more in ")
    assert "have no fold and are not used: python -m training.splits" in line
    (tmp_path / "splits.json").write_bytes(SPLITS.read_bytes())
    with pytest.raises(UserError, match=r"case50: without a fold in .*splits\.json; python -m training\.splits --data"):
        load_folds(tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"folds": [["case0"], ["case1", "case2", "case0"]]}', "case0 is there twice, expected every case in one fold"),
        ('{"folds": [["case0"], []]}', "expected folds as"),
        ("[", "expected folds as"),
        ('{"folds": [["a_ses-1", "b"], ["c", "a_ses-2"]]}', "a_ses-1 and a_ses-2 are of one patient, expected them in one"),
        ('{"folds": [["case0"], ["case1"]]}', r"case10, case2, .* and 4 more: without a fold"),
        ('{"folds": [["case0"], ["other"]]}', "no packed case other, which .* has a fold for"),
    ],
)
def test_folds_that_do_not_fit_the_data_are_refused(data: Path, text: str, reason: str) -> None:
    (data / "splits.json").write_text(text)
    with pytest.raises(UserError, match=reason):
        load_folds(data)


def test_data_of_ones_own_need_folds_of_their_own(data: Path) -> None:
    with pytest.raises(UserError, match=r"no packed case MGHNICU_014.* python -m training\.splits --data"):
        load_folds(data)


def test_one_scan_under_two_names_is_refused(data: Path, command, refusal) -> None:
    """Also with a label of its own, and in a larger field of view."""
    command(splits.main, "--data", data)
    case = invented_case(3)
    wider = {name: np.pad(getattr(case, name), ((0, 0), (2, 0), (0, 5))) for name in ("adc", "zadc", "label")}
    write_packed(dataclasses.replace(case, name="baby", **wider | {"label": wider["label"] & False}), data)
    assert refusal(splits.main, "--data", data).startswith("baby and case3 are one scan")
    first, *others = json.loads((data / "splits.json").read_text())["folds"]
    (data / "splits.json").write_text(json.dumps({"folds": [[*first, "baby"], *others]}))
    with pytest.raises(UserError, match="baby and case3 are one scan"):
        load_folds(data)


def test_the_scans_of_a_patient_come_into_one_fold() -> None:
    names = [f"{patient}{visit}" for patient in "abcdefg" for visit in ("-VISIT_01", "-VISIT_02")]
    names += [f"sub-{patient}_ses-{visit}" for patient in "hi" for visit in (1, 2, 3)]
    cases = [dataclasses.replace(invented_case(number), name=name) for number, name in enumerate(names)]
    folds = splits.deal(cases)
    assert sorted(name for fold in folds for name in fold) == sorted(names)
    for patient in {name[:5] if name.startswith("sub") else name[0] for name in names}:
        assert sum(any(name.startswith(patient) for name in fold) for fold in folds) == 1


def test_four_patients_cannot_be_dealt_into_five_folds(tmp_path: Path, refusal) -> None:
    for number in range(4):
        write_packed(invented_case(number), tmp_path)
    assert "4 cases, expected at least 5 patients" in refusal(splits.main, "--data", tmp_path)
    assert not (tmp_path / "splits.json").exists()


def test_a_page_takes_rows_of_one_cohort_and_ours_of_the_committed_folds(tmp_path: Path) -> None:
    folds = [["a", "b"], ["c"]]
    whole = {"folds": folds, "data": {"a": "1", "b": "2", "c": "3"}}
    write_configuration(whole, tmp_path / "first.csv")
    for other, reason in (
        (whole | {"folds": [["a"], ["b", "c"]]}, "are of different folds"),
        (whole | {"data": {"a": "1", "b": "2"}}, r"are of different data \(c\)"),
    ):
        write_configuration(other, tmp_path / "second.csv")
        with pytest.raises(UserError, match=reason):
            require_one_cohort(tmp_path, ("first.csv", "second.csv"))
    write_configuration(whole, tmp_path / "second.csv")
    assert require_one_cohort(tmp_path, ("first.csv", "second.csv")) == folds
    write_configuration({"data": whole["data"]}, tmp_path / "first.csv")
    with pytest.raises(UserError, match="does not say in which fold each case is"):
        require_one_cohort(tmp_path, ("first.csv",))
    require_elsewhere(COMMITTED, RESULTS.parents[1] / "docs")
    require_elsewhere(folds, tmp_path)
    with pytest.raises(UserError, match=r"rows are of 3 cases in the 2 folds of splits\.json of the data; name --docs"):
        require_elsewhere(folds, RESULTS.parents[1] / "docs")


def test_weights_say_whose_labels_they_learnt_from() -> None:
    own, reviewed, published = (dataclasses.replace(invented_case(0), source=s) for s in ("own", "reviewed", "published"))
    assert "BONBID-HIE" in licence([published])
    assert licence([reviewed] * 2).startswith("trained on 2 reviewed cases of one's own")
    assert licence([own]).startswith("trained on 1 labelled cases of one's own")
    assert licence([published, reviewed, own]) == "; ".join(map(licence, ([published], [own], [reviewed])))
