"""What values of a case can mean at all, else it is refused, and where the published maps end. Needs no SimpleITK."""

SPACING_MM = (0.2, 100.0)  # what a voxel can measure; smoothing over millimetres takes ever longer on finer ones
LARGEST_Z, LARGEST_ADC = 100.0, 1e5  # ten and twenty times what the published maps reach; more is refused
LARGEST_PUBLISHED_Z = 10.0  # at which the published maps are clipped, and estimated ones with them; more is only told
PLAUSIBLE_ADC = (100.0, 10000.0)  # median of the brain in 1e-6 mm2/s; newborns have about 1000 to 1600
SMALLEST_BRAIN_ML = 100.0  # that a brain mask may leave, unless less is asked for; at term even a small brain has 200
LARGEST_BRAIN_ML = 2000.0  # more than any human's; the labelled newborns' are 319 to 547 ml
FEWEST_TO_ESTIMATE = 500  # voxels of a brain whose Z map is estimated
