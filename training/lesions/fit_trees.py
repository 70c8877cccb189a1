"""Fits the first stage: boosted trees that tell, from the Z map and the ADC alone, which candidates are lesion.

LightGBM fits them to all candidates of all cases, each case with the same weight, in a fixed number of rounds: nothing is
drawn, and the same cases give the same trees.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm
import numpy as np

from model.lesions.candidates import CaseMaps, candidate_features
from model.lesions.decision import LOWEST_LOG_ODDS
from model.lesions.trees import Trees
from training.data.dataset import PackedCase

ROUNDS = 140  # between 90 and 220 the scores hardly differ; docs/appendix/experiments.md
SETTINGS = {
    "objective": "binary",
    "learning_rate": 0.05,
    "max_depth": 3,
    "num_leaves": 8,
    "min_data_in_leaf": 100,
    "min_sum_hessian_in_leaf": 1.0,
    "lambda_l2": 10.0,
    "max_bin": 63,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,  # sums in one order on every machine
    "seed": 0,
    "verbosity": -1,
}


@dataclass(frozen=True, eq=False)
class CandidateTable:
    """The candidates of one labelled case."""

    name: str
    candidates: np.ndarray  # boolean (z, y, x)
    features: np.ndarray  # float16 (candidates, features)
    lesion: np.ndarray  # boolean (candidates,)
    fold: int = -1  # that holds the case out

    def log_odds(self, trees: Trees) -> np.ndarray:
        """What trees say about each voxel, float32 (z, y, x); LOWEST_LOG_ODDS where there is no candidate, and at least."""
        answers = np.full(self.candidates.shape, LOWEST_LOG_ODDS, np.float32)
        answers[self.candidates] = np.maximum(trees.answers(self.features), LOWEST_LOG_ODDS)
        return answers


def candidate_table(case: PackedCase, probabilities: np.ndarray | None = None) -> CandidateTable:
    """The candidates by the softened rule, or by the given probabilities, float32 (z, y, x)."""
    maps = CaseMaps(case.adc, case.zadc, case.spacing_mm)
    candidates, features = candidate_features(maps.rule_probabilities() if probabilities is None else probabilities, maps)
    fold = -1 if case.fold is None else case.fold
    return CandidateTable(case.name, candidates, features, case.label[candidates], fold)


def fit_trees(tables: Sequence[CandidateTable]) -> Trees:
    """Boosted trees for whether a candidate is lesion; every case has the same weight, in whatever order they come."""
    some = sorted((table for table in tables if len(table.lesion)), key=lambda table: table.name)
    weights = np.concatenate([np.full(len(table.lesion), 1 / len(table.lesion)) for table in some])
    data = lightgbm.Dataset(
        np.concatenate([table.features for table in some], dtype=np.float32),
        np.concatenate([table.lesion for table in some]).astype(float),
        weight=weights / weights.mean(),
        params=SETTINGS,
    )
    return as_trees(lightgbm.train(SETTINGS, data, num_boost_round=ROUNDS))


def trees_by_fold(tables: dict[str, CandidateTable]) -> dict[int, Trees]:
    """For each fold the trees fitted to the other folds' cases. Every table has a fold."""
    folds = sorted({table.fold for table in tables.values()})
    return {fold: fit_trees([table for table in tables.values() if table.fold != fold]) for fold in folds}


def as_trees(booster: lightgbm.Booster) -> Trees:
    """The fitted trees as plain arrays, padded to the largest tree, from LightGBM's documented JSON."""
    trees = [_nodes(tree["tree_structure"]) for tree in booster.dump_model()["tree_info"]]
    most = max(map(len, trees))
    padded = [[*nodes, *((0, 0.0, i, i, 0.0, 0) for i in range(len(nodes), most))] for nodes in trees]
    arrays = (np.array([[node[column] for node in nodes] for nodes in padded]) for column in range(6))
    feature, threshold, left, right, value, depth = arrays
    return Trees(feature, threshold, left, right, value, baseline=np.array(0.0), depth=np.array(int(depth.max())))


def _nodes(root: dict) -> list[tuple[int, float, int, int, float, int]]:
    """(feature, threshold, left, right, value, depth) of each node of a tree, the root first; a leaf points to itself."""
    nodes: list[tuple[int, float, int, int, float, int]] = []

    def add(node: dict, depth: int) -> int:
        here = len(nodes)
        nodes.append((0, 0.0, here, here, float(node.get("leaf_value", 0.0)), depth))
        if "split_feature" in node:
            if node["decision_type"] != "<=":
                raise ValueError(f"a split by {node['decision_type']}, expected <=")
            left, right = (add(node[side], depth + 1) for side in ("left_child", "right_child"))
            nodes[here] = (int(node["split_feature"]), float(node["threshold"]), left, right, 0.0, depth)
        return here

    add(root, 0)
    return nodes
