"""The peer: a script as people write it, torch and MONAI from the files to the mask.

The same networks, flips, windows and crop to the brain as ours. It averages and cuts at 0.5, where ours goes on to the
lesion decision.

    python -m benchmarks.peer_torch_monai INPUT OUTPUT.mha
"""

import json
import sys
from pathlib import Path

import SimpleITK as sitk
import torch
from monai.inferers import sliding_window_inference
from safetensors.torch import load_file

from model.images.brain import brain_box, brain_mask, uncrop
from model.inputs.platform import find_scan
from model.networks.config import InferenceConfig, ModelConfig, from_json
from model.networks.inputs import network_input
from model.networks.network import LesionNet
from model.networks.predict import patch_size
from model.networks.stored import IMAGE_WEIGHTS, network_files


def load(path: Path) -> tuple[LesionNet, ModelConfig, InferenceConfig]:
    sidecar = json.loads(path.with_suffix(".json").read_text())
    model = from_json(ModelConfig, sidecar["model"], str(path))
    network = LesionNet(model)
    network.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    return network.eval(), model, from_json(InferenceConfig, sidecar["inference"], str(path))


def main() -> None:
    networks = [load(path) for path in network_files(IMAGE_WEIGHTS)]
    adc_image, z_image = (sitk.ReadImage(str(path), sitk.sitkFloat32) for path in find_scan(Path(sys.argv[1])).files)
    adc, zadc = sitk.GetArrayFromImage(adc_image), sitk.GetArrayFromImage(z_image)
    total = 0
    with torch.inference_mode():
        for network, model, inference in networks:
            box = brain_box(brain_mask(adc), model.margin)
            inputs = torch.from_numpy(network_input(adc[box], zadc[box], model))[None]
            window = patch_size(inputs.shape[2:], model.divisor, inference.max_patch)
            options = {"overlap": inference.overlap, "mode": "gaussian"}
            for flip in (False, True):
                x = inputs.flip(4) if flip else inputs
                p = torch.sigmoid(sliding_window_inference(x, window, 1, network, **options))
                total = total + (p.flip(4) if flip else p)
    mask = (total[0, 0] / (2 * len(networks)) > 0.5).numpy()
    image = sitk.GetImageFromArray(uncrop(mask, box, adc.shape).astype("uint8"))
    image.CopyInformation(adc_image)
    sitk.WriteImage(image, sys.argv[2], useCompression=True)


if __name__ == "__main__":
    main()
