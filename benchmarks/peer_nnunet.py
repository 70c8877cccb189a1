"""The peer of the field: nnU-Net v2's predictor, five folds, left-right flips, an untrained plan of nearly our FLOPs.

Needs nnunetv2, which is in no requirements file (it asks for another torch): install it into an environment of its own.

    python -m benchmarks.peer_nnunet INPUT OUTPUT.mha
"""

import sys
from pathlib import Path

import SimpleITK as sitk
import torch
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from model.inputs.platform import find_scan

PATCH = (48, 96, 80)  # a brain's size, so that one window does for most
SPACING_MM = (2.0, 1.65, 1.65)
LEVELS = 4
RESAMPLING = {
    f"resampling_fn_{part}{suffix}": value
    for part, order in (("data", 3), ("seg", 1), ("probabilities", 1))
    for suffix, value in (
        ("", "resample_data_or_seg_to_shape"),
        ("_kwargs", {"is_seg": part == "seg", "order": order, "order_z": 0, "force_separate_z": None}),
    )
}
NETWORK = {
    "n_stages": LEVELS,
    "features_per_stage": [6, 12, 24, 48],  # 6 and not nnU-Net's 32, for nearly our FLOPs
    "conv_op": "torch.nn.modules.conv.Conv3d",
    "kernel_sizes": [[3, 3, 3]] * LEVELS,
    "strides": [[1, 1, 1]] + [[2, 2, 2]] * (LEVELS - 1),
    "n_conv_per_stage": [2] * LEVELS,
    "n_conv_per_stage_decoder": [2] * (LEVELS - 1),
    "conv_bias": True,
    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
    "norm_op_kwargs": {"eps": 1e-05, "affine": True},
    "dropout_op": None,
    "dropout_op_kwargs": None,
    "nonlin": "torch.nn.LeakyReLU",
    "nonlin_kwargs": {"inplace": True},
}
ARCHITECTURE = {
    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "arch_kwargs": NETWORK,
    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
}
CONFIGURATION = {
    "data_identifier": "untrained",
    "preprocessor_name": "DefaultPreprocessor",
    "batch_size": 2,
    "patch_size": list(PATCH),
    "median_image_size_in_voxels": list(PATCH),
    "spacing": list(SPACING_MM),
    "normalization_schemes": ["ZScoreNormalization"] * 2,
    "use_mask_for_norm": [False, False],
    "batch_dice": False,
    "architecture": ARCHITECTURE,
    **RESAMPLING,
}
PLANS = {
    "dataset_name": "Dataset001_Untrained",
    "plans_name": "nnUNetPlans",
    "original_median_spacing_after_transp": list(SPACING_MM),
    "original_median_shape_after_transp": list(PATCH),
    "image_reader_writer": "SimpleITKIO",
    "transpose_forward": [0, 1, 2],
    "transpose_backward": [0, 1, 2],
    "configurations": {"3d_fullres": CONFIGURATION},
    "experiment_planner_used": "ExperimentPlanner",
    "label_manager": "LabelManager",
    "foreground_intensity_properties_per_channel": {"0": {}, "1": {}},
}
DATASET = {"channel_names": {"0": "ADC", "1": "Z"}, "labels": {"background": 0, "lesion": 1}, "file_ending": ".mha"}


def main() -> None:
    adc, zadc = find_scan(Path(sys.argv[1])).files
    device = torch.device("cpu")
    predictor = nnUNetPredictor(0.5, True, True, False, device, allow_tqdm=False)
    plans = PlansManager(PLANS)
    words = ARCHITECTURE["network_class_name"], NETWORK, ARCHITECTURE["_kw_requires_import"], 2, 2
    networks = [get_network_from_plans(*words, deep_supervision=False) for _ in range(5)]
    folds = [network.state_dict() for network in networks]
    configuration = plans.get_configuration("3d_fullres")
    predictor.manual_initialization(networks[0], plans, configuration, folds, DATASET, "nnUNetTrainer", (2,))
    image, properties = SimpleITKIO().read_images([str(adc), str(zadc)])
    mask = sitk.GetImageFromArray(predictor.predict_single_npy_array(image, properties).astype("uint8"))
    mask.CopyInformation(sitk.ReadImage(str(adc)))
    sitk.WriteImage(mask, sys.argv[2], useCompression=True)


if __name__ == "__main__":
    main()
