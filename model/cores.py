"""How many processor cores a process is to use."""

import os


def threads() -> int:
    """What OMP_NUM_THREADS allows, else the cores that this process may use. At least 1."""
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    return int(allowed) if allowed.isdecimal() and int(allowed) else len(os.sched_getaffinity(0))
