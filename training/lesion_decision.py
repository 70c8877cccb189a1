"""Fits the lesion decision to what networks say about cases they never saw: boosted trees, and when a mask stays empty."""

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from model.decision import Trees, most_dice
from training.dataset import PackedCase

EMPTY_ABOVE = tuple(np.arange(0, 0.41, 0.02).round(2).tolist())  # what is tried
VOXELS_PER_CASE = 1500  # drawn for the fit; each case weighs the same


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the networks that never saw a case say about it."""

    case: PackedCase
    fold: int
    probabilities: np.ndarray  # float32 (z, y, x)
    candidates: np.ndarray  # boolean (z, y, x)
    features: np.ndarray  # float32 (candidates, features)

    def map(self, values: np.ndarray) -> np.ndarray:
        """Values of the candidates as float32 (z, y, x), 0 elsewhere."""
        whole = np.zeros(self.candidates.shape, np.float32)
        whole[self.candidates] = values
        return whole


def fit_trees(evidence: list[Evidence], seed: int = 0) -> Trees:
    """Boosted trees for whether a candidate is lesion; every case has the same weight."""
    rng = np.random.default_rng(seed)
    features, labels, weights = [], [], []
    for part in evidence:
        chosen = rng.permutation(len(part.features))[:VOXELS_PER_CASE]
        features.append(part.features[chosen])
        labels.append(part.case.label[part.candidates][chosen])
        weights.append(np.full(len(chosen), 1 / max(len(chosen), 1)))
    weight = np.concatenate(weights)
    classifier = HistGradientBoostingClassifier(
        max_depth=3,
        learning_rate=0.05,
        max_iter=120,
        min_samples_leaf=300,
        l2_regularization=10,
        early_stopping=True,  # on a tenth of the voxels; docs/experiments.md says what it is without
        validation_fraction=0.1,
        random_state=seed,
    )
    classifier.fit(np.concatenate(features), np.concatenate(labels), sample_weight=weight / weight.mean())
    return as_trees(classifier)


def as_trees(classifier: HistGradientBoostingClassifier) -> Trees:
    """The fitted classifier as plain arrays, padded to the largest tree."""
    trees = [predictors[0].nodes for predictors in classifier._predictors]
    nodes = max(map(len, trees))

    def stack(column: str, kind: type) -> np.ndarray:
        return np.stack([np.pad(tree[column].astype(kind), (0, nodes - len(tree))) for tree in trees])

    leaf, itself = stack("is_leaf", bool), np.arange(nodes)
    return Trees(
        feature=np.where(leaf, 0, stack("feature_idx", int)),
        threshold=np.where(leaf, 0, stack("num_threshold", float)),
        left=np.where(leaf, itself, stack("left", int)),
        right=np.where(leaf, itself, stack("right", int)),
        value=np.where(leaf, stack("value", float), 0),
        baseline=np.array(float(classifier._baseline_prediction[0, 0])),
        depth=np.array(int(max(tree["depth"].max() for tree in trees))),
    )


def out_of_fold(evidence: list[Evidence]) -> dict[str, np.ndarray]:
    """Calibrated probabilities by case; the trees of each fold's cases are fitted to the other folds in `evidence`."""
    answers = {}
    for fold in {part.fold for part in evidence}:
        trees = fit_trees([part for part in evidence if part.fold != fold])
        for part in evidence:
            if part.fold == fold:
                answers[part.case.name] = part.map(trees.probabilities(part.features))
    return answers


def choose_empty_above(evidence: list[Evidence], answers: dict[str, np.ndarray]) -> float:
    """The value with the best mean Dice over the given cases; of equals the one in the middle."""
    dice = [
        np.mean([dice_of(most_dice(answers[part.case.name], limit), part.case.label) for part in evidence])
        for limit in EMPTY_ABOVE
    ]
    best = [limit for limit, value in zip(EMPTY_ABOVE, dice, strict=True) if value >= max(dice) - 1e-9]
    return float(best[len(best) // 2])


def dice_of(mask: np.ndarray, label: np.ndarray) -> float:
    """Dice; 1 when both are empty."""
    total = int(mask.sum()) + int(label.sum())
    return 2 * int((mask & label).sum()) / total if total else 1.0


def nested_decisions(evidence: list[Evidence], answers: dict[str, np.ndarray]) -> dict[str, tuple[np.ndarray, float]]:
    """By case: calibrated probabilities and the limit for an empty mask, both from the other folds alone.

    answers: of `out_of_fold` on the same evidence.
    """
    decided = {}
    for fold in sorted({part.fold for part in evidence}):
        others = [part for part in evidence if part.fold != fold]
        limit = choose_empty_above(others, out_of_fold(others))
        decided |= {part.case.name: (answers[part.case.name], limit) for part in evidence if part.fold == fold}
    return decided
