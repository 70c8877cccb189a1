"""ADC maps alone beside an atlas: a registered case, one that does not fit, and a user's own atlas."""

import dataclasses
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from atlas_helpers import MAP_SLOPES, invented_atlas, scan
from folder_helpers import summary
from inference_helpers import arguments, one_question, save_zmap, stump
from phantom import write_image

from model import Segmenter
from model.errors import UserError
from model.images.checks import warnings_of
from model.images.grid import Grid
from model.images.registered import GRID_MM
from model.lesions.atlas import MAPS_MM, Atlas
from model.lesions.certainty import Certainty
from model.lesions.estimate import WITH_ATLAS, ZEstimator
from model.lesions.own_atlas import read_atlas
from model.networks.stored import save_decision
from model.networks.stored_estimator import load_estimator, save_estimator
from model.report.results import describe_registration
from model.segmenter import Segmentation

SPACING_MM = (3.0, 2.0, 1.8)
BELOW, ABOVE = -3.5, 0.5  # estimated Z where the atlas's is at most -2.5, and above
NO_ATLAS_Z = -2.1  # of the tree without an atlas, at an ADC of at most 500


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trees that estimate from the atlas's Z, and beside them those of `save_zmap`, which ask no atlas."""
    folder = save_zmap(tmp_path_factory.mktemp("weights"))
    trees = one_question(WITH_ATLAS.index("atlas_z"), -2.5, BELOW, ABOVE)
    save_estimator(folder / "atlas", ZEstimator(trees, WITH_ATLAS, invented_atlas()), {})
    certainty = Certainty({"chance_real": {"intercept": 0.5, "log10_ml": 1.0}})
    decision = dataclasses.replace(stump("z", -3, at_most=0.9, above=0.01), certainty=certainty)
    save_decision(folder / "atlas", decision, {})
    return folder


@pytest.fixture(scope="module")
def built_in(weights: Path) -> Segmenter:
    return Segmenter(weights)


@pytest.fixture(scope="module")
def found(built_in: Segmenter) -> Segmentation:
    """What is found of `with_lesion`."""
    return built_in.segment(with_lesion()[0], spacing_mm=SPACING_MM, direction=np.eye(3), estimate_z=True)


def with_lesion() -> tuple[np.ndarray, np.ndarray]:
    """A scan and, boolean, a lesion in it: four standard deviations of the invented atlas below the mean."""
    adc, _ = scan(SPACING_MM)
    lesion = np.zeros(adc.shape, bool)
    lesion[12:16, 20:28, 30:36] = True
    return np.where(lesion, adc - 800, adc), lesion


def write(values: np.ndarray, path: Path, spacing: float = GRID_MM) -> Path:
    image = sitk.GetImageFromArray(values)
    image.SetSpacing([spacing] * 3)
    sitk.WriteImage(image, str(path))
    return path


def test_lesion_is_told_by_the_atlas(found):
    adc, lesion = with_lesion()
    np.testing.assert_array_equal(found.mask, lesion)
    np.testing.assert_array_equal(found.zmap, np.where(lesion, BELOW, np.where(adc > 0, ABOVE, 0)))
    registration = found.results["registration"]
    assert registration["correlation"] > 0.8
    np.testing.assert_allclose(registration["scale"], 1, atol=0.03)
    assert registration["largest_displacement_mm"] < 3
    assert (registration["atlas"], registration["atlas_used"]) == ("built-in", True)
    assert not [warning for warning in found.warnings if "atlas" in warning]


def test_stored_in_another_order(built_in, tmp_path):
    adc, lesion = with_lesion()
    image = sitk.GetImageFromArray(adc)
    image.SetSpacing(SPACING_MM[::-1])
    sitk.WriteImage(sitk.DICOMOrient(image, "PIR"), str(tmp_path / "adc.nii.gz"))
    found = built_in.segment_files(tmp_path / "adc.nii.gz", estimate_z=True)
    stored = sitk.GetImageFromArray(lesion.astype(np.uint8))
    np.testing.assert_array_equal(found.mask, sitk.GetArrayFromImage(sitk.DICOMOrient(stored, "PIR")))


def test_case_that_does_not_fit_is_estimated_without_the_atlas(built_in, found):
    adc, lesion = with_lesion()
    noise = np.where(adc > 0, np.random.default_rng(0).gamma(4, 250, adc.shape) + 600, 0)
    other = built_in.segment(np.where(lesion, 400, noise), spacing_mm=SPACING_MM, direction=np.eye(3), estimate_z=True)
    assert not other.results["registration"]["atlas_used"]
    np.testing.assert_array_equal(other.mask, lesion)
    assert set(other.zmap[lesion]) == {np.float32(NO_ATLAS_Z)}
    assert any("could not be registered to the atlas" in warning for warning in other.warnings)
    assert found.results["weights"] == other.results["weights"]  # a run does not do the case again for it


UNUSUAL = {
    "fits the atlas unusually (correlation 0.80, usually 0.24 or more; scaled by 1.60 x 1.00 x 0.70, usually": {
        "correlation": 0.8,
        "scale": (0.7, 1, 1.6),
    },
    "ADC is 1.50 times that of the atlas, usually 0.7 to 1.3: ": {"adc_ratio": 1.5},
    "could not be registered to the atlas (correlation not known, usually": {"correlation": math.nan},
    "could not be registered to the atlas (correlation 0.14, usually": {"correlation": 0.14},
}


@pytest.mark.parametrize("words", UNUSUAL)
def test_unusual_registration_is_said(found, words):
    registration = dataclasses.replace(found.case.registration, **UNUSUAL[words])
    assert words in warnings_of(dataclasses.replace(found.case, registration=registration))[-1]


def test_registration_without_a_correlation_is_null():
    flat = np.where(with_lesion()[0] > 0, np.float32(1200), 0)
    unknown = invented_atlas().register(flat, SPACING_MM)
    assert describe_registration(unknown)["correlation"] is None
    assert not unknown.usable


# --- a user's own atlas ---


def files(atlas: Atlas, folder: Path) -> tuple[Path, Path]:
    return write(atlas.mean, folder / "mean.nii.gz"), write(atlas.sd, folder / "sd.nii.gz")


def test_hospital_whose_adc_is_higher_uses_its_own_atlas(weights, built_in, found, tmp_path):
    """All ADC 400 higher: by the built-in atlas the lesion is only two standard deviations low, by one's own four."""
    adc, lesion = with_lesion()
    higher = np.where(adc > 0, adc + 400, 0)
    shifted = dataclasses.replace(invented_atlas(), mean=np.where(invented_atlas().mean > 0, invented_atlas().mean + 400, 0))
    segmenters = (Segmenter(weights, atlas=files(shifted, tmp_path)), built_in)
    own, usual = (
        segmenter.segment(higher, spacing_mm=SPACING_MM, direction=np.eye(3), estimate_z=True) for segmenter in segmenters
    )
    assert np.count_nonzero(own.mask ^ lesion) < 0.03 * np.count_nonzero(lesion)
    assert np.count_nonzero(usual.zmap <= BELOW) < 0.03 * np.count_nonzero(lesion)
    ratios = [s.results["registration"]["adc_ratio"] for s in (own, usual)]
    np.testing.assert_allclose(ratios, (1, np.median(higher[adc > 0]) / np.median(adc[adc > 0])), atol=0.02)
    assert own.results["registration"]["atlas"].startswith("mean.nii.gz, sd.nii.gz (")
    assert own.results["weights"] != usual.results["weights"]
    assert [{type(lesion["chance_real"]) for lesion in s.lesions} for s in (found, own)] == [{float}, {type(None)}]


def test_own_atlas_takes_the_maps_of_the_built_in_one_to_their_places(tmp_path):
    """Of one that is the built-in one, but larger and elsewhere on its grid: each map is known on paper."""
    atlas, larger = invented_atlas(), 1.08
    mean, sd = (np.pad(part, ((3, 9), (0, 5), (14, 2))) for part in (atlas.mean, atlas.sd))
    paths = [write(part, tmp_path / f"{name}.nii.gz", larger * GRID_MM) for name, part in (("mean", mean), ("sd", sd))]
    own = read_atlas(*paths, atlas)
    middle = np.argwhere(own.mean > 0).mean(0)
    places = np.moveaxis(np.indices(own.maps.shape[:3]), 0, -1) * (MAPS_MM / GRID_MM)
    expected = np.stack([(places - middle) / larger @ weights for weights in MAP_SLOPES], axis=-1)
    inside = own.mean[::2, ::2, ::2] > 0
    found = own.maps[: inside.shape[0], : inside.shape[1], : inside.shape[2]][inside]
    error = np.abs(found - expected[: inside.shape[0], : inside.shape[1], : inside.shape[2]][inside])
    assert (error.mean(0) < 1.5 * np.linalg.norm(MAP_SLOPES, axis=1)).all()  # a voxel and a half of the atlas


def test_another_atlas_makes_earlier_results_outdated(weights, main, tmp_path):
    """Another option and other contents under the same names alike; the same atlas again does not."""
    scans, output = tmp_path / "scans", tmp_path / "out"
    (scans / "a").mkdir(parents=True)
    adc = with_lesion()[0]
    write_image(adc, Grid(adc.shape, SPACING_MM, (0.0, 0.0, 0.0), tuple(np.eye(3).ravel())), scans / "a" / "adc.mha")
    own = ["--atlas", *map(str, files(invented_atlas(), tmp_path))]

    def run(*words: str) -> tuple[str, str]:
        main([*arguments(scans, output, weights), "--cases", "--estimate-z", *words])
        row = summary(output)["a"]
        return row["status"], row["reason"].split(" since;")[0]

    assert run(*own) == ("done", "")
    assert run(*own) == ("done before", "")
    files(dataclasses.replace(invented_atlas(), mean=invented_atlas().mean * 1.01), tmp_path)
    for words in ((), own):
        status, reason = run(*words)
        assert status == "outdated"
        assert reason.startswith("the atlas (--atlas) changed from mean.nii.gz, sd.nii.gz (")


WRONG = {
    "a variance": (lambda m: m, lambda s: s**2, "sd.nii.gz: no standard deviation in the mean's unit: is it a variance"),
    "swapped": (lambda m: m / 6, lambda s: s * 6, "look swapped"),
    "mean in 1e-3 mm2/s": (lambda m: m / 1000, lambda s: s, "another unit"),
    "sd in 1e-3 mm2/s": (lambda m: m, lambda s: s / 1000, "no standard deviation in the mean's unit"),
    "the same image twice": (lambda m: m, lambda s: invented_atlas().mean, "no standard deviation in the mean's unit"),
    "other size": (lambda m: m, lambda s: s[::2, ::2, ::2], "not on one grid: size"),
    "not stripped": (lambda m: np.where(m > 0, m, 300), lambda s: np.where(s > 0, s, 90), "skull-stripped"),
    "a Z map": (lambda m: m - 1300, lambda s: s, "values below 0"),
    "sd below 0": (lambda m: m, lambda s: -s, "sd.nii.gz: is above 0 in 0%"),
    "sd of half a brain": (
        lambda m: m,
        lambda s: np.where(np.arange(s.shape[2]) < 40, s, 0),
        "sd.nii.gz: is above 0 in 91%",
    ),
    "sd nearly 0 in places": (
        lambda m: m,
        lambda s: np.where(np.arange(s.shape[2]) % 10, s, s / 1000),
        r"sd.nii.gz: is more than 5 times above or below its median in (9|10|11)% of the brain",
    ),
    "no brain's pattern": (
        lambda m: np.where(m > 0, np.random.default_rng(0).uniform(900, 1700, m.shape), 0),
        lambda s: s,
        "could not be registered to the built-in atlas",
    ),
    "one number": (lambda m: np.where(m > 0, 1300, 0), lambda s: s, "could not be registered to the built-in atlas"),
    "NaN outside": (lambda m: np.where(m > 0, m, np.nan), lambda s: s, "NaN or infinite"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_atlas_is_refused(tmp_path, kind):
    change_mean, change_sd, words = WRONG[kind]
    atlas = invented_atlas()
    mean = write(change_mean(atlas.mean).astype(np.float32), tmp_path / "mean.nii.gz")
    sd = write(change_sd(atlas.sd).astype(np.float32), tmp_path / "sd.nii.gz")
    with pytest.raises(UserError, match=words) as error:
        read_atlas(mean, sd, atlas)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"--atlas: {tmp_path}")


def test_weights_without_an_atlas_refuse_another(tmp_path):
    folder = save_zmap(tmp_path / "weights")
    adc, _ = with_lesion()
    with pytest.raises(UserError, match="these weights ask no atlas"):
        Segmenter(folder, atlas=files(invented_atlas(), tmp_path)).segment(adc, spacing_mm=SPACING_MM, estimate_z=True)


def test_altered_or_another_atlas_is_refused(weights, tmp_path):
    folder = tmp_path / "weights"
    shutil.copytree(weights, folder)
    stored = folder / "atlas" / "atlas.safetensors"
    stored.write_bytes(stored.read_bytes()[:-1] + b"\1")
    with pytest.raises(UserError, match=r"atlas\.safetensors: truncated or altered"):
        load_estimator(folder / "atlas")
    trees = one_question(WITH_ATLAS.index("atlas_z"), -2.5, BELOW, ABOVE)
    save_estimator(folder / "atlas", ZEstimator(trees, WITH_ATLAS, invented_atlas(190.0)), {})
    with pytest.raises(UserError, match=r"decision\.safetensors: fitted to other weights"):
        load_estimator(folder / "atlas")


def test_the_weights_id_is_also_that_of_the_trees_without_an_atlas(weights, built_in, tmp_path):
    folder = shutil.copytree(weights, tmp_path / "weights")
    save_decision(folder / "zmap", stump("z", -1.5, at_most=0.9, above=0.01), {})
    assert Segmenter(folder).predictors.estimating.ensemble.id != built_in.predictors.estimating.ensemble.id


def test_stored_atlas_is_read_as_it_was(weights):
    stored, written = load_estimator(weights / "atlas")[0].atlas, invented_atlas()
    np.testing.assert_allclose(stored.mean, written.mean, rtol=1e-3)
    np.testing.assert_array_equal(stored.sd, written.sd)
    np.testing.assert_allclose(stored.maps, written.maps, rtol=1e-3)


def test_atlas_without_estimate_z_is_refused(main, capfd, tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(["--atlas", "mean.nii.gz", "sd.nii.gz", "--input", str(tmp_path)])
    assert stop.value.code == 2
    assert "--atlas goes with --estimate-z" in capfd.readouterr().err
