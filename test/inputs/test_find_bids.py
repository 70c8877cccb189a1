"""Which cases a BIDS data set holds, and what is said of those that cannot be run. Finding does not open images."""

import json
from pathlib import Path

import pytest
from finding import blocks, check, session

from model.errors import UserError
from model.inputs.cases import find_cases


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """Without subjects."""
    (tmp_path / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.11.1"}))
    return tmp_path


FOUND = blocks("""
what is no raw data is left alone
/ sub-01/dwi ADC desc-zscore_ADC
+ derivatives/other/sub-02/dwi/sub-02_ADC.nii.gz sourcedata/sub-02/dwi/sub-02_ADC.nii.gz code/sub-02/dwi/sub-02_ADC.nii.gz
+ README participants.tsv sub-01/fmap/sub-01_ADC.nii.gz sub-01/dwi/ADC.nii.gz figures/x.png .git/annex/objects/x.nii.gz
+ .heudiconv/x.nii ._loose.mha sub-01/._x.nii.gz sub-01/sub-01_scans.tsv notes/list.xlsx CHANGES>.git/annex/gone
sub-01: = sub-01/dwi/sub-01_ADC.nii.gz sub-01/dwi/sub-01_desc-zscore_ADC.nii.gz -

images elsewhere are listed with the reason: none is passed over because its folder is called otherwise than BIDS wants it
/ sub-01/dwi ADC desc-zscore_ADC
/ sub-02/ses-1/dwi ADC desc-zscore_ADC
+ baby2/adc.mha baby3/series/1.dcm sub_03/dwi/sub-03_ADC.nii.gz 03/dwi/sub-03_ADC.nii.gz loose.mha
+ sub-07.zip sub-05_T1w.nii.gz rawdata/sub-1/dwi/sub-1_ADC.nii.gz annex/adc.nii.gz>../.git/annex/gone
+ sub-02/session-2/dwi/x_ADC.nii.gz sub-02/3/1.dcm sub-01/DWI/sub-01_ADC.nii.gz sub-02/adc.nii sub-02/ses-1/ADC/x.nii.gz
+ sub-02/ses-1/adc.mha sub_06>nowhere
sub-01: = sub-01/dwi/sub-01_ADC.nii.gz sub-01/dwi/sub-01_desc-zscore_ADC.nii.gz -
sub-02_ses-1: = sub-02/ses-1/dwi/sub-02_ses-1_ADC.nii.gz sub-02/ses-1/dwi/sub-02_ses-1_desc-zscore_ADC.nii.gz -
sub_06: a link to nowhere
baby2 baby3 sub_03 03 loose.mha sub-07.zip annex sub-05_T1w.nii.gz rawdata: ^{root}/{name}: lies outside of sub-<
sub-02/session-2 sub-02/3 sub-01/DWI sub-02/adc.nii sub-02/ses-1/ADC sub-02/ses-1/adc.mha: ^{root}/{name}: lies outside

subjects and sessions keep their names; a subject with sessions is a case of its own where it has a map
/ sub-01/ses-1/dwi ADC desc-zscore_ADC dwi FA desc-brain_mask
/ sub-01/ses-2/anat ADC desc-zscore_ADC T2w
/ sub-01/anat T2w
/ sub-02/ses-1/dwi ADC desc-zscore_ADC
/ sub-02/dwi ADC desc-zscore_ADC
/ sub-A1/dwi acq-b800_run-2_ADC acq-b800_run-2_desc-zscore_ADC
sub-01_ses-1: = sub-01/ses-1/dwi/sub-01_ses-1_ADC.nii.gz sub-01/ses-1/dwi/sub-01_ses-1_desc-zscore_ADC.nii.gz -
sub-01_ses-2: = sub-01/ses-2/anat/sub-01_ses-2_ADC.nii.gz sub-01/ses-2/anat/sub-01_ses-2_desc-zscore_ADC.nii.gz -
sub-02_ses-1: = sub-02/ses-1/dwi/sub-02_ses-1_ADC.nii.gz sub-02/ses-1/dwi/sub-02_ses-1_desc-zscore_ADC.nii.gz -
sub-02 sub-A1: = {name}/dwi/{name}*_ADC.nii.gz {name}/dwi/{name}*_desc-zscore_ADC.nii.gz -
sub-01_ses-1.place: sub-01/ses-1
sub-02.place: ^sub-02$

names of a Z map; an estimated one is no given one
/ sub-1/dwi ADC desc-z_ADC
/ sub-2/dwi ADC desc-zADC_ADC
/ sub-3/dwi ADC desc-zScore_ADC
/ sub-4/dwi ADC zmap
/ sub-5/dwi acq-a_ADC acq-a_desc-HIEzscore_ADC
/ sub-6/dwi acq-a_ADC desc-estimatedzscore_ADC
/ sub-7/dwi acq-a_ADC desc-estimatedzscore_ADC acq-a_desc-zscore_ADC
sub-1 sub-2 sub-3 sub-4: = {name}/dwi/{name}_ADC.nii.gz {name}/dwi/{name}_*z*.nii.gz -
sub-5: sub-5_acq-a_desc-HIEzscore_ADC.nii.gz was left out: its name says that it is an estimated Z map, not a given one
sub-6: sub-6_desc-estimatedzscore_ADC.nii.gz was left out: its name says
sub-5.remarks sub-6.remarks: was left out: its name says that it is an estimated Z map, not a given one.$
sub-7: = sub-7/dwi/sub-7_acq-a_ADC.nii.gz sub-7/dwi/sub-7_acq-a_desc-zscore_ADC.nii.gz -

no mask of the ADC map is passed over without a word, but one that is called an image of another kind
/ sub-1/dwi ADC desc-zscore_ADC label-brain_mask
/ sub-2/dwi ADC desc-zscore_ADC desc-Brain_mask
/ sub-3/dwi ADC desc-zscore_ADC desc-brain_label-L_mask
/ sub-4/dwi ADC desc-zscore_ADC desc-synthstrip_mask
/ sub-5/dwi ADC desc-zscore_ADC desc-hie_mask
/ sub-6/dwi ADC desc-zscore_ADC label-lesion_mask
/ sub-7/dwi ADC desc-zscore_ADC desc-brain_T1w
sub-1 sub-2 -m: = {name}/dwi/{name}_ADC.nii.gz {name}/dwi/{name}_desc-zscore_ADC.nii.gz {name}/dwi/{name}_*rain_mask.nii.gz
sub-3 sub-4 -m: expected a brain mask, found sub-
sub-5 sub-6 sub-7 -m: = {name}/dwi/{name}_ADC.nii.gz {name}/dwi/{name}_desc-zscore_ADC.nii.gz -
sub-5.other_masks sub-6.other_masks -m: _mask.nii.gz is none by its name$
sub-7.other_masks -m:

several candidates are listed
/ sub-01/dwi run-1_ADC run-2_ADC run-1_desc-zscore_ADC
/ sub-02/dwi ADC desc-zscore_ADC zmap
/ sub-03/dwi ADC desc-zscore_ADC
/ sub-03/anat ADC
sub-01: map of sub-01, 2 could be it: dwi/sub-01_run-1_ADC.nii.gz, dwi/sub-01_run-2_ADC.nii.gz;*(--cases cases.csv)$
sub-02: expected one Z map of sub-02, 2 could be it: dwi/sub-02_desc-zscore_ADC.nii.gz, dwi/sub-02_zmap.nii.gz;
sub-03: expected one ADC map of sub-03, 2 could be it: dwi/sub-03_ADC.nii.gz, anat/sub-03_ADC.nii.gz; list the one

a Z map of another image is not passed over
/ sub-01/dwi run-1_ADC run-2_desc-zscore_ADC
/ sub-02/dwi run-1_ADC space-T2w_desc-zscore_ADC
/ sub-03/dwi run-1_ADC acq-x_run-1_desc-zscore_ADC
sub-01 -z: expected one Z map of sub-01_run-1_ADC.nii.gz*sub-01_run-2_desc-zscore_ADC.nii.gz
sub-02 -z: expected one Z map of sub-02_run-1_ADC.nii.gz*sub-02_space-T2w_desc-zscore_ADC.nii.gz
sub-03 -z: expected one Z map of sub-03_run-1_ADC.nii.gz*sub-03_acq-x_run-1_desc-zscore_ADC.nii.gz

without a Z map a case says so
/ sub-01/dwi ADC
sub-01 -z: = sub-01/dwi/sub-01_ADC.nii.gz - -
sub-01.no_z -z: expected one Z map of sub-01_ADC.nii.gz (desc-zscore_ADC), no other image lies in dwi or anat
sub-01: ; --estimate-z does without one$

brain masks: of another image, of several, of a run and of all
/ sub-01/dwi acq-a_ADC acq-a_desc-zscore_ADC desc-brain_mask desc-lesion_mask label-GM_mask acq-b_desc-brain_mask
/ sub-02/dwi ADC desc-zscore_ADC space-T2w_desc-brain_mask
/ sub-02/anat desc-brain_mask
/ sub-03/dwi run-1_ADC run-1_desc-zscore_ADC desc-brain_mask run-1_desc-brain_mask
/ sub-04/dwi ADC desc-zscore_ADC
+ sub-04/dwi/sub-04_desc-brain_mask.nii.gz>nowhere
sub-01 -m: = *_acq-a_ADC.nii.gz *_acq-a_desc-zscore_ADC.nii.gz sub-01/dwi/sub-01_desc-brain_mask.nii.gz
sub-02 -m: = sub-02/dwi/sub-02_ADC.nii.gz sub-02/dwi/sub-02_desc-zscore_ADC.nii.gz -
sub-02.no_mask -m:
sub-03 -m: one brain mask of sub-03, 2 could be it: dwi/sub-03_desc-brain_mask.nii.gz, dwi/
sub-04 -m: a link to nowhere
sub-01: = sub-01/dwi/sub-01_acq-a_ADC.nii.gz sub-01/dwi/sub-01_acq-a_desc-zscore_ADC.nii.gz -
sub-02 sub-03 sub-04: = {name}/dwi/{name}_*ADC.nii.gz {name}/dwi/{name}_*desc-zscore_ADC.nii.gz -

brain masks of other images are left out and named, and one that has no name of BIDS is told
/ sub-01/dwi ADC desc-zscore_ADC
/ sub-01/anat desc-brain_mask
/ sub-02/dwi ADC desc-zscore_ADC space-MNI152_desc-brain_mask
/ sub-03/dwi ADC desc-zscore_ADC
+ sub-03/dwi/brain_mask.mnc
sub-01 sub-02 -m: = {name}/dwi/{name}_ADC.nii.gz {name}/dwi/{name}_desc-zscore_ADC.nii.gz -
sub-01.no_mask sub-02.no_mask -m:
sub-01.other_masks -m: ^left out: anat/sub-01_desc-brain_mask.nii.gz$
sub-02.other_masks -m: ^left out: dwi/sub-02_space-MNI152_desc-brain_mask.nii.gz$
sub-03 -m: found brain_mask.mnc (MINC, which is not read)

a folder without an ADC map fails with what is there; a subject's reason names what lies in it
/ sub-01/ses-1/dwi ADC desc-zscore_ADC
/ sub-01/ses-2/dwi dwi rec-ADC_dwi
+ sub-02/ses-1/ sub-03/ sub-04/sub-04_ADC.nii.gz sub-05_ADC.nii.gz sub-06/dwi/1.dcm sub-06/dwi/2.dcm
sub-01_ses-1: = sub-01/ses-1/dwi/sub-01_ses-1_ADC.nii.gz sub-01/ses-1/dwi/sub-01_ses-1_desc-zscore_ADC.nii.gz -
sub-01_ses-2: expected one ADC map (dwi/sub-01_ses-2_ADC.nii.gz), found dwi/sub-01_ses-2_dwi
sub-02_ses-1 sub-03: no image lies in dwi or anat$
sub-04: found sub-04_ADC.nii.gz
sub-04/sub-04_ADC.nii.gz: lies outside
sub-06: found 2 file(s) (DICOM), which is not read there
sub-05_ADC.nii.gz: lies outside of sub-<label>[/ses-<label>]/dwi

names that contradict their folder
+ sub-01/ses-1/dwi/sub-02_ses-1_ADC.nii.gz sub-03/ses-1/dwi/sub-03_ADC.nii.gz
sub-01_ses-1: its name says sub-02_ses-1, its folder sub-01_ses-1
sub-03_ses-1: its name says sub-03, its folder sub-03_ses-1

folders with labels that BIDS does not know
/ sub-9/dwi ADC desc-zscore_ADC
/ sub-0_1/dwi ADC desc-zscore_ADC
/ sub-/dwi ADC desc-zscore_ADC
/ sub-mü/dwi ADC desc-zscore_ADC
/ Sub-01/dwi ADC desc-zscore_ADC
/ sub-01/ses-a.b/dwi ADC desc-zscore_ADC
sub-9: = sub-9/dwi/sub-9_ADC.nii.gz sub-9/dwi/sub-9_desc-zscore_ADC.nii.gz -
sub-0_1 sub- sub-mü Sub-01 sub-01_ses-a.b: expected a name of letters and digits

links to nothing
/ sub-01/dwi ADC
+ sub-01/dwi/sub-01_desc-zscore_ADC.nii.gz>../../.git/annex/gone sub-02>nowhere sub-03/ses-1>ses-1
sub-01: sub-01_desc-zscore_ADC.nii.gz: a link to ../../.git/annex/gone, which is not there
sub-02: a link to nowhere
sub-03_ses-1: a link to ses-1, which is not there

a table comes first
/ sub-01/dwi run-1_ADC run-2_ADC desc-zscore_ADC
| case,adc,zadc
| sub-01,sub-01/dwi/sub-01_run-2_ADC.nii.gz,sub-01/dwi/sub-01_desc-zscore_ADC.nii.gz
sub-01: = sub-01/dwi/sub-01_run-2_ADC.nii.gz sub-01/dwi/sub-01_desc-zscore_ADC.nii.gz -
""")


@pytest.mark.parametrize("title", FOUND)
def test_cases_of_a_data_set(data_set, title):
    check(data_set, FOUND[title])


def test_a_data_set_without_subjects_is_refused(data_set):
    session(data_set / "derivatives" / "x", "sub-01/dwi", "ADC")
    with pytest.raises(UserError, match=r"expected folders sub-<label>, found dataset_description\.json, derivatives"):
        find_cases(data_set)
