"""How many cores a process is to use, by the environment and by what the system gives it."""

import os

import pytest

from model.cores import threads


@pytest.mark.parametrize("value", ["3", " 3", "3 ", "3,1", " 3 , 2, 1", "03"])
def test_threads_are_what_the_environment_allows(monkeypatch, value):
    """As OpenMP reads it: the first number is that of the outermost level."""
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0})
    assert threads() == 3


@pytest.mark.parametrize("value", ["", "0", "many", "-1", "9" * 20, "9" * 5000, "10000", "3x", "0,3", "\u0663", "\xb3"])
def test_without_a_number_they_are_the_cores_of_this_process(monkeypatch, value):
    """Not those of the machine: a container, or taskset, may give it fewer."""
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 4, 5, 9, 11} if process == 0 else {0})
    assert threads() == 5
