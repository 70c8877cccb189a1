"""The names of the study's losses, in the order of its tables; `training.learning.losses` has what they compute."""

LOSS_NAMES = ("dice", "dice-focal", "tversky", "hausdorffdt", "dice-focal-hausdorffdt", "tversky-hausdorffdt")
