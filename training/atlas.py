"""Registers every labelled case to an atlas of all, and asks whether a single case could be got back from that atlas.

Example:

    python -m training.atlas --data data/packed

The atlas is the one that `python -m training.zmap --ship` writes. Rows go to atlas.csv in --results. `kept` is the
correlation, over the atlas, of what sets a case's ADC apart from the atlas's mean with what leaving the case out changes
in that mean: near 1 a case could be told from two atlases, near 0 not even from those. `own_lesion` is the share that a
case's own lesions have in what the map of lesions says where they are: 1 where no other case has any.
"""

import math

import numpy as np

from model.images.registered import GRID_MM
from model.lesions.atlas import MAPS_MM
from model.lesions.brain_map import blur
from training.common.cli import add_data_option, command_parser, run
from training.data.dataset import PackedCase, load_folds
from training.lesions.fit_atlas import LESION, MAPS_SMOOTHING_MM, SMOOTHING_MM, AtlasFit, fit_atlas
from training.scores.configuration import configuration_of
from training.scores.places import add_results_option, open_results
from training.scores.rows import AtlasCase, replace_records


def atlas_case(case: PackedCase, fit: AtlasFit) -> AtlasCase:
    """One of the cases of an atlas: how it fits, and what of it the atlas keeps."""
    found = fit.atlas.register(case.adc, case.spacing_mm)
    own = fit.sums[case.name]
    brain, count, adc = (blur(part, SMOOTHING_MM, (GRID_MM,) * 3) for part in own.sums[:3])
    both = (fit.atlas.mean > 0) & (fit.without(case.name).mean > 0) & (brain > 0.5) & (count > 0.5)
    apart = adc[both] / count[both] - fit.atlas.mean[both]
    change = fit.atlas.mean[both] - fit.without(case.name).mean[both]
    return AtlasCase(
        case=case.name,
        correlation=found.correlation,
        scale_z=found.scale[0],
        scale_y=found.scale[1],
        scale_x=found.scale[2],
        largest_mm=found.largest_mm,
        kept=float(np.corrcoef(apart, change)[0, 1]),
        change=float(np.median(np.abs(change))),
        own_lesion=own_lesion(case.name, fit),
    )


def own_lesion(name: str, fit: AtlasFit) -> float:
    """The share of a case in what the map of lesions says, mean over its lesions; nan where it has none."""
    own, of_all = (part.coarse[LESION] for part in (fit.sums[name], fit.total))
    if not own.any():
        return math.nan
    near, of_all_near = (blur(part, MAPS_SMOOTHING_MM, (MAPS_MM,) * 3) for part in (own, of_all))
    inside = own > 0
    return float(np.average(near[inside] / of_all_near[inside], weights=own[inside]))


def main() -> None:
    parser = command_parser(__doc__)
    add_data_option(parser)
    add_results_option(parser)
    args = parser.parse_args()
    path = open_results(args, atlas=AtlasCase) / "atlas.csv"
    cases = load_folds(args.data)
    fit = fit_atlas(cases.values())
    rows = [atlas_case(case, fit) for case in cases.values()]
    replace_records(rows, path, AtlasCase, configuration_of(cases.values()))
    kept, least = np.array([row.kept for row in rows]), min(row.correlation for row in rows)
    print(f"kept: mean {kept.mean():.3f}, at most {kept.max():.3f}; correlation: at least {least:.3f}")
    filling = np.sum([blur(own.sums[0], SMOOTHING_MM, (GRID_MM,) * 3) > 0.5 for own in fit.sums.values()], axis=0)
    print(f"cases that fill more than half of a place of the atlas: at least {filling[fit.atlas.mean > 0].min()}")
    own = np.array([row.own_lesion for row in rows])
    print(f"own_lesion: mean {np.nanmean(own):.3f}, at most {np.nanmax(own):.3f}")


if __name__ == "__main__":
    run(main)
