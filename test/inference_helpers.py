"""A small case, small networks and hand-written MetaImage files for the tests of inference. Arrays are (z, y, x)."""

import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from phantom import make_grid
from torch import nn

from model.images.volume import Grid
from model.lesions.candidates import FEATURES
from model.lesions.decision import Calibration, Decision
from model.lesions.estimate import ESTIMATE_FEATURES, ZEstimator
from model.lesions.trees import Trees
from model.networks.config import InferenceConfig, ModelConfig
from model.networks.network import LesionNet
from model.networks.stored import Ensemble, load_ensemble, save_decision
from model.networks.stored_estimator import save_estimator
from model.networks.torch_engine import TorchEngine, TorchNetwork, round_to_disk_precision, save_weights

# The platform's names for this challenge, written out and not imported: the code is compared with them.
ADC_SLUG, ADC_FOLDER = "skull-stripped-adc", "images/skull-stripped-adc-brain-mri"
ZADC_SLUG, ZADC_FOLDER = "z-score-apparent-diffusion-coefficient-map", "images/z-score-adc"
MASK, RESULTS = "images/hie-lesion-segmentation/overlay.mha", "results.json"
PROBABILITIES = "images/hie-lesion-probabilities/probabilities.mha"

CPU = torch.device("cpu")
TINY = ModelConfig(
    pixel_unshuffle=1,
    channels=(4, 6, 8),
    kernel_sizes=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
    strides=((1, 1, 1), (1, 2, 2), (2, 2, 1)),
)  # divisor (2, 4, 2)
GRID = Grid((7, 15, 12), (3.0, 1.25, 0.8), (-31.25, 12.5, -70.75), make_grid().direction)  # oblique, 3 mm3 a voxel
LESIONS = ((slice(2, 4), 5, 3), (6, 14, 10))  # two voxels that touch, and one in the corner of the brain
LESION_VOXELS, BRAIN_VOXELS = 3, 6 * 11 * 8


def lesion_mask() -> np.ndarray:
    """The LESIONS on GRID, boolean (z, y, x)."""
    mask = np.zeros(GRID.size, bool)
    for place in LESIONS:
        mask[place] = True
    return mask


def small_maps() -> tuple[np.ndarray, np.ndarray]:
    """ADC and Z map on GRID: a brain that touches two sides of the volume, the LESIONS in it, low Z outside it too.

    Elsewhere in the brain Z is at least -2, in places exactly.
    """
    adc = np.zeros(GRID.size, np.float32)
    adc[1:, 4:, 3:-1] = 1200
    adc[0, 0] = -20
    zadc = np.where(adc > 0, np.linspace(-2, 3, adc.size).reshape(adc.shape), -5)
    zadc[1, 4, 3] = -2
    zadc[lesion_mask()] = -2.25
    return adc, zadc.astype(np.float32)


def random_maps(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Uneven maps on GRID whose Z is a multiple of 1/4, so that it is compared with -2 without rounding."""
    rng = np.random.default_rng(seed)
    adc = np.where(rng.random(GRID.size) < 0.8, rng.uniform(500, 3000, GRID.size), 0)
    return adc.astype(np.float32), (np.round(rng.normal(-1.5, 1.5, GRID.size) * 4) / 4).astype(np.float32)


def rule(adc: np.ndarray, zadc: np.ndarray) -> np.ndarray:
    """What an untrained network marks."""
    return (adc > 0) & (zadc < -2)


def random_network(seed: int, config: ModelConfig = TINY) -> LesionNet:
    """A network whose U-Net has a say, unlike an untrained one's; its weights are the ones on disk."""
    torch.manual_seed(seed)
    network = LesionNet(config)
    torch.nn.init.normal_(network.head.conv.conv.weight)
    round_to_disk_precision(network)
    return network.eval()


def as_network(module: nn.Module) -> TorchNetwork:
    """A module as an ensemble asks it, on the CPU."""
    return TorchNetwork(module, CPU)


def load(folder: Path, with_decision: bool = True) -> Ensemble:
    """What the torch engine makes of a folder, on the CPU."""
    return load_ensemble(folder, TorchEngine(CPU), with_decision)


def save_ensemble(folder: Path, *networks: LesionNet, inference: InferenceConfig | None = None) -> Path:
    """Write the networks as net0, net1, ...; returns the folder."""
    for number, network in enumerate(networks):
        save_weights(folder / f"net{number}.safetensors", network, TINY, inference or InferenceConfig(), {})
    return folder


TREES_ALONE = Calibration(networks=0.0, first_stage=1.0)
NETWORKS_ALONE = Calibration(networks=1.0, first_stage=0.0)


ESTIMATED_Z = (-2.1, 0.4)  # of the stump that estimates: up to LOW_ADC, and above
LOW_ADC = 0.5  # 1e-3 mm2/s


def one_question(feature: int, threshold: float, at_most: float, above: float) -> Trees:
    """A single tree that answers `at_most` where the feature is at most the threshold, else `above`."""
    return Trees(
        feature=np.array([[feature, 0, 0]]),
        threshold=np.array([[threshold, 0, 0]], float),
        left=np.array([[1, 1, 2]]),
        right=np.array([[2, 1, 2]]),
        value=np.array([[0, at_most, above]], float),
        baseline=np.array(0.0),
        depth=np.array(1),
    )


def stump(feature: str, threshold: float, at_most: float, above: float, calibration: Calibration = TREES_ALONE) -> Decision:
    """A decision of one tree: probability `at_most` where the feature is at most `threshold`, else `above`."""
    log_odds = (np.log(p / (1 - p)) for p in (at_most, above))
    return Decision(one_question(FEATURES.index(feature), threshold, *log_odds), FEATURES, calibration)


def save_zmap(folder: Path, calibration: Calibration = TREES_ALONE) -> Path:
    """Add a tree that estimates Z from low ADC to a folder of weights, and one that marks where that is at most -2."""
    estimator = ZEstimator(one_question(ESTIMATE_FEATURES.index("adc"), LOW_ADC, *ESTIMATED_Z), ESTIMATE_FEATURES)
    save_estimator(folder / "zmap", estimator, {})
    save_decision(folder / "zmap", stump("z", -2, at_most=0.9, above=0.01, calibration=calibration), {})
    return folder


def low_adc() -> np.ndarray:
    """The small case's ADC map on GRID with ADC of 200 in the LESIONS, where the estimate is -2.1."""
    adc = small_maps()[0]
    adc[lesion_mask()] = 200
    return adc


def write_metaimage(path: Path, data: bytes = b"", **fields: str | None) -> Path:
    """A MetaImage file of 4 x 3 x 2 float voxels, or of what `fields` promises; None leaves a field out."""
    header = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "0 0 0",
        "ElementSpacing": "1 1 1",
        "DimSize": "4 3 2",
        "ElementType": "MET_FLOAT",
    }
    place = {"ElementDataFile": fields.pop("ElementDataFile", "LOCAL")}  # must come last
    lines = [f"{name} = {value}\n" for name, value in (header | fields | place).items() if value is not None]
    path.write_bytes("".join(lines).encode() + data)
    return path


def arguments(case: Path, output: Path, weights: Path, device: str = "cpu") -> list[str]:
    """What process.py is called with."""
    return ["--input", str(case), "--output", str(output), "--weights", str(weights), "--device", device]


def files_below(folder: Path) -> list[str]:
    """Every file, hidden ones too, as paths relative to the folder, without what moved aside for later runs."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())
    return [name for name in names if not name.startswith("previous/")]


def results_of(folder: Path) -> dict:
    """Of a case, in the folder where they were written."""
    return json.loads((folder / RESULTS).read_text())


def voxels_of(path: Path) -> np.ndarray:
    """Of an image, (z, y, x), as SimpleITK reads it."""
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def content(folder: Path) -> dict[str, bytes]:
    """What each of `files_below` holds."""
    return {name: (folder / name).read_bytes() for name in files_below(folder)}


def moved_aside(output: Path) -> dict[str, bytes]:
    """What moved aside in an output folder in all its runs, by its place there; the overviews left out."""
    found = {}
    for path in (path for path in (output / "previous").rglob("*") if not path.is_dir() and path.exists()):
        name = "/".join(path.relative_to(output).parts[2:])
        if name not in ("summary.csv", "index.html"):
            assert name not in found
            found[name] = path.read_bytes()
    return found
