"""How many cores a process is to use, by the environment and by what the system gives it."""

import os

import pytest

from model.cores import threads


@pytest.fixture
def one_core():
    """Gives this process one of its cores, as a container or taskset does."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("value", "number"), [("3", 3), (" 3 , 2, 1", 3), ("03", 3), ("", 1), ("0", 1), ("9" * 20, 1), ("3x", 1)]
)
def test_threads_are_what_the_environment_allows_else_the_cores_of_this_process(monkeypatch, one_core, value, number):
    """As OpenMP reads it: the first number is that of the outermost level."""
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert threads() == number
