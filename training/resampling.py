"""What the paper protocol's grid does to a label: resampled to 192x192x32 and back, scored against itself.

Example:

    python -m training.resampling --data data/packed

A network that were perfect on that grid would score this on the patient's own.
"""

import numpy as np
import torch

from training.common.cli import add_data_option, command_parser, run
from training.data.dataset import PackedCase, load_cases
from training.data.strata import LOADS, is_thick
from training.learning.paper import to_paper_sample, to_patient_grid
from training.scores.metrics import mean_scores, score

CLASSES = {"all with lesion": (1, 2, 3)} | {name: (number,) for number, name in enumerate(LOADS) if number}


def there_and_back(case: PackedCase) -> np.ndarray:
    """The label after both resamplings (nearest there, linear and cut at one half back), boolean (z, y, x)."""
    target = to_paper_sample(case, torch.device("cpu")).target[0]
    return (to_patient_grid(target, case.label.shape) > 0.5).numpy()


def main() -> None:
    parser = command_parser(__doc__)
    add_data_option(parser)
    cases = [case for case in load_cases(parser.parse_args().data) if case.label.any()]
    scores = {case.name: score(there_and_back(case), case.label, case.spacing_mm) for case in cases}
    groups = {name: [case for case in cases if case.load_class in classes] for name, classes in CLASSES.items()}
    groups["slices over 3 mm"] = [case for case in cases if is_thick(case.spacing_mm[0])]
    for name, group in ((name, group) for name, group in groups.items() if group):
        mean = mean_scores([scores[case.name] for case in group])
        print(f"{name:18} {len(group):3} cases  Dice {mean.dice:.3f}  MASD {mean.masd_mm:.2f} mm  NSD {mean.nsd:.3f}")
    lost = sum(scores[case.name].dice == 0 for case in cases)
    print(f"{lost} of {len(cases)} labels vanish")


if __name__ == "__main__":
    run(main)
