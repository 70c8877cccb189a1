"""Which file is the ADC map and which the Z map, by names alone."""

from pathlib import Path

import pytest

from model.inputs.map_names import brain_masks, tell_apart
from model.inputs.mask_names import MaskKind, mask_kind
from model.names.output_names import MASK_STEM, PROBABILITIES_STEM, ZMAP_STEM
from model.names.platform_paths import MASK_PATH, PROBABILITIES_PATH

TOLD = [  # names of an ADC map and its Z map, as people would give them
    *(("adc", "zadc"), ("ADC", "Z-score"), ("sub-1_adc_ss", "sub-1_adc_zscore"), ("x_ADC", "x_ADC_z"), ("ADCmap", "Zmap")),
    *(("X-ADC_ss", "Zmap_X-ADC_smooth2mm_clipped10"), ("Schulz-ADC_ss", "Zmap_Schulz-ADC_smooth2mm_clipped10")),
    *(("Perez_ADC", "Perez_Zmap"), ("franz_adc", "franz_zmap"), ("adc_zurich", "zmap_zurich"), ("Fritz-ADC", "Fritz-Z")),
    *(("PerezADC", "PerezZmap"), ("perezadc", "perezzmap"), ("PEREZADC", "PEREZZMAP"), ("hernandezadc", "zmap")),
    *(("Müller_ADC", "MÜLLER_ZMAP"), ("Götz_adc", "Go\u0308tz_z"), ("Z01_adc", "Z01_zmap"), ("Z_adc", "Z_zmap")),
    *(("Z_ADC", "Z_Z"), ("Z-ADC", "Z-ADC_z"), ("baby_z_adc", "baby_z_map"), ("ADC", "ADCz"), ("adc1", "z1")),
    *(("Z7_adc", "Z7_zadc"), ("adc zurich", "adc zurich z score"), ("Zoe_adc_map", "Zoe_z_map"), ("FritzADC", "FritzZ")),
    *(("z-adc", "z-zmap"), ("Zmap-study_ADC", "Zmap-study_Zmap"), ("ZADC_001_ADC", "ZADC_001_Z")),
    *(("apparent_diffusion_coefficient", "z_score"), ("adc_map_z012", "zscore_map_z012"), ("lesion_9_adc", "lesion_9_z")),
]


@pytest.mark.parametrize("others", [(), ("lesion.nii",), ("t1.MHA", "mask.nii.gz")], ids=str)
@pytest.mark.parametrize(("adc", "zadc"), TOLD)
def test_maps_are_told_apart(adc, zadc, others):
    """In both orders, for suffixes in any case, beside files that are neither."""
    for suffix in (".nii.gz", ".MHA"):
        paths = [Path(adc + suffix), Path(zadc + suffix), *map(Path, others)]
        for order in (paths, paths[::-1]):
            assert tell_apart(order) == ([paths[0]], [paths[1]])


def test_mask_of_the_adc_map_is_not_the_adc_map():
    maps = [Path("adc.nii"), Path("zmap.nii")]
    for mask in ("adc_mask.nii", "adc-label.nii", "zmap_lesion.nii", "ADC_ROI.nii", "adcSeg.nii"):
        assert tell_apart([*maps, Path(mask)]) == ([maps[0]], [maps[1]])
        assert tell_apart([Path(mask), maps[1]])[0] == []


EXPONENTIAL = ["eADC", "ep2d_eadc", "exp_ADC_exponential", "ADC_expADC", "ADCexp"]
OTHER_WORD = ["t2_headcoil", "T2_HeadCoil", "t2HEADCOIL", "broadcast"]
OWN_WORD = ["E_adc", "e_ADC", "ADCexport", "ADC_exp1", "app-diffusion"]


@pytest.mark.parametrize("name", [*EXPONENTIAL, *OTHER_WORD, *OWN_WORD])
def test_an_exponential_map_and_letters_of_another_word_are_no_adc_map(name):
    path, maps = Path(f"{name}.nii"), [Path("adc.nii"), Path("zmap.nii")]
    assert tell_apart([path])[0] == [path] * (name in OWN_WORD)
    assert name in OWN_WORD or tell_apart([path, *maps]) == (maps[:1], maps[1:])


@pytest.mark.parametrize(
    "names",
    [
        *(("adc.nii", "adc2.nii", "zmap.nii"), ("adc.nii", "z.nii", "zmap.nii"), ("adc.nii", "map.nii"), ("a.nii", "b.nii")),
        *(("Z01_adc.nii", "Z01_adc_norm.nii"), ("Perez_ADC.nii",), ("zmap.nii",), ("franz.nii", "zurich.nii"), ()),
    ],
)
def test_names_that_do_not_say_it_are_not_guessed(names):
    adc, zadc = tell_apart([Path(name) for name in names])
    assert (len(adc), len(zadc)) != (1, 1)


IMAGES = (MASK_STEM, PROBABILITIES_STEM, ZMAP_STEM, *(Path(path).stem for path in (MASK_PATH, PROBABILITIES_PATH)))


@pytest.mark.parametrize("stem", IMAGES)
def test_what_this_program_writes_is_neither_map_nor_brain_mask_by_its_name(stem):
    adc, zadc, written = (Path(f"{name}.nii.gz") for name in ("adc", "zmap", stem))
    assert tell_apart([adc, zadc, written]) == ([adc], [zadc])
    assert brain_masks([adc, zadc, written]) == []
    assert mask_kind(written) is not MaskKind.DOUBTFUL
