"""Makes the weights. Never part of the image."""

import multiprocessing
import signal
import sys

if sys.argv[0] == "-m":  # `python -m training.train` is about to start, before its imports
    from model.command import prepare

    prepare()
elif multiprocessing.parent_process():  # a run of the study: the parent says that it was stopped
    signal.signal(signal.SIGINT, signal.SIG_DFL)
