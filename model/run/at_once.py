"""Several cases at a time: while one is computed, another is read and a third one written.

A thread takes a case from its files to its files, so that no more cases than threads are in memory. The order in which they
end is hidden: the results are asked for case by case.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from model.networks.windows import before_network

Job = Callable[[], dict]


class Stopped(Exception):
    """The run ended before this case was done."""


def cases_at_once(threads: int, cores: int) -> int:
    """Of a folder: what one leaves of the cores while it is read and written another takes (benchmarks/README.md)."""
    return min(threads, cores, 3)


class AtOnce:
    """Jobs that run in the block of a `with`, begun in their order; None stands for a case that there is nothing to do for.

    When the block ends early, a job that was not begun never is, one that is computed ends at the next network, and one that
    is written is waited for: nothing half-written stays. number: of jobs at a time.
    """

    def __init__(self, jobs: Sequence[Job | None], number: int) -> None:
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(number)
        self._jobs = jobs
        self.begun: list[Future[dict] | None] = [None] * len(jobs)  # in the order of the jobs

    def __enter__(self) -> AtOnce:
        try:
            for number, job in enumerate(self._jobs):
                self.begun[number] = job and self._pool.submit(self._run, job)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)

    def _run(self, job: Job) -> dict:
        before_network.set(self._require_going)
        try:
            self._require_going()
            return job()
        except BaseException as error:
            reason: BaseException | None = error
            while reason:  # which may be told much later, and would hold the arrays of its case until then
                traceback.clear_frames(reason.__traceback__)
                reason = reason.__context__
            raise

    def _require_going(self) -> None:
        if self._stop.is_set():
            raise Stopped


def has_ended(job: Future[dict] | None) -> bool:
    """After the block: whether a job came to an end of its own, good or bad."""
    if job is None or job.cancelled():
        return False
    error = job.exception()
    return error is None or (isinstance(error, Exception) and not isinstance(error, Stopped))
