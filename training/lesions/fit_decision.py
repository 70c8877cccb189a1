"""Fits the lesion decision to what networks say about cases they never saw: boosted trees, and when a mask stays empty."""

import itertools
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from model.lesions.decision import Trees, best_mask
from training.data.dataset import PackedCase
from training.scores.metrics import dice_of

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


def out_of_fold(evidence: list[Evidence], seed: int = 0) -> dict[str, np.ndarray]:
    """Calibrated probabilities by case; the trees of each fold's cases are fitted to the other folds in `evidence`.

    seed: of every fit, here as below: which voxels are drawn, and which of them tell when to stop.
    """
    answers = {}
    for fold in folds_of(evidence):
        trees = fit_trees([part for part in evidence if part.fold != fold], seed)
        answers |= answers_of(trees, evidence, fold)
    return answers


def folds_of(evidence: list[Evidence]) -> list[int]:
    """The folds that the evidence is about, sorted."""
    return sorted({part.fold for part in evidence})


def answers_of(trees: Trees, evidence: list[Evidence], fold: int) -> dict[str, np.ndarray]:
    """Calibrated probabilities of one fold's cases, by case."""
    return {part.case.name: part.map(trees.probabilities(part.features)) for part in evidence if part.fold == fold}


def choose_empty_above(evidence: list[Evidence], answers: dict[str, np.ndarray]) -> float:
    """The value with the best mean Dice over the given cases; of equals the one in the middle."""
    masks = [best_mask(answers[part.case.name]) for part in evidence]
    expected = np.array([value for _, value in masks])
    marked = [dice_of(mask, part.case.label) for (mask, _), part in zip(masks, evidence, strict=True)]
    empty = [dice_of(np.zeros_like(mask), part.case.label) for (mask, _), part in zip(masks, evidence, strict=True)]
    dice = [np.mean(np.where(expected > limit, marked, empty)) for limit in EMPTY_ABOVE]
    best = [limit for limit, value in zip(EMPTY_ABOVE, dice, strict=True) if value >= max(dice) - 1e-9]
    return float(best[len(best) // 2])


def nested_decisions(
    evidence: list[Evidence], answers: dict[str, np.ndarray], seed: int = 0
) -> dict[str, tuple[np.ndarray, float]]:
    """By case: calibrated probabilities and the limit for an empty mask, both from the other folds alone.

    answers: of `out_of_fold` on the same evidence.
    """
    folds = folds_of(evidence)
    inner: dict[int, dict[str, np.ndarray]] = {fold: {} for fold in folds}  # by the fold that no tree behind them saw
    for one, other in itertools.combinations(folds, 2):
        trees = fit_trees([part for part in evidence if part.fold not in (one, other)], seed)
        inner[one] |= answers_of(trees, evidence, other)
        inner[other] |= answers_of(trees, evidence, one)
    decided = {}
    for fold in folds:
        limit = choose_empty_above([part for part in evidence if part.fold != fold], inner[fold])
        decided |= {part.case.name: (answers[part.case.name], limit) for part in evidence if part.fold == fold}
    return decided
