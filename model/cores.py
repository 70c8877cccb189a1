"""How many processor cores a process is to use."""

import os
import re

FIRST_NUMBER = re.compile(r"\s*0*([1-9][0-9]{0,3})\s*(,|$)")  # OpenMP allows one for each level of nesting


def threads() -> int:
    """The first number of OMP_NUM_THREADS, else the cores that this process may use. At least 1.

    A number of more than four digits is no such number.
    """
    allowed = FIRST_NUMBER.match(os.environ.get("OMP_NUM_THREADS", ""))
    return int(allowed[1]) if allowed else cores()


def cores() -> int:
    """Those that this process may use: a container, or taskset, may give it fewer than the machine has; macOS gives all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
