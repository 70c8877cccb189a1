"""The names of the study's losses, in the order of its tables and figures.

`training.learning.losses` has a function for each. The names lie apart from them because pages do without torch.
"""

LOSS_NAMES = ("dice", "dice-focal", "tversky", "hausdorffdt", "dice-focal-hausdorffdt", "tversky-hausdorffdt")
