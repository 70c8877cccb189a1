"""Makes the weights. Never part of the image."""

import sys

if sys.argv[0] == "-m":  # `python -m training.train` is about to start, before its imports
    from model.command import prepare

    prepare()
