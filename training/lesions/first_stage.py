"""The first stage of a training run: trees fitted inside the training cases alone.

A network must learn from answers as good as those that it will see. So a training case is answered by trees that were fitted
to the other training cases, and a held-out case by trees fitted to all of them.
"""

import functools

import numpy as np

from model.lesions.candidates import FEATURES, CaseMaps
from model.lesions.decision import Calibration, Decision
from training.data.dataset import PackedCase
from training.lesions.fit_trees import CandidateTable, candidate_table, fit_trees

PARTS = 4  # into which the training cases are dealt


class FirstStage:
    """Trees for the cases of one run."""

    def __init__(self, training: list[PackedCase]) -> None:
        ordered = sorted(training, key=lambda case: (case.lesion_load, case.name))
        self.part_of = {case.name: number % PARTS for number, case in enumerate(ordered)}
        self._training = ordered
        self._by_part: dict[int, Decision] = {}

    @functools.cached_property
    def _tables(self) -> list[CandidateTable]:
        return [candidate_table(case) for case in self._training]

    @functools.cached_property
    def decision(self) -> Decision:
        """Trees fitted to all training cases, and a calibration that leaves a network's answers as they are."""
        return Decision(fit_trees(self._tables), FEATURES, Calibration())

    def log_odds(self, case: PackedCase) -> np.ndarray:
        """The answer to a case, as `Decision.first_stage` gives it, by trees that were not fitted to it."""
        part = self.part_of.get(case.name)
        decision = self.decision if part is None else self._without(part)
        return decision.first_stage(CaseMaps(case.adc, case.zadc, case.spacing_mm))

    def _without(self, part: int) -> Decision:
        if part not in self._by_part:
            others = [table for table in self._tables if self.part_of[table.name] != part]
            self._by_part[part] = Decision(fit_trees(others), FEATURES, Calibration())
        return self._by_part[part]
