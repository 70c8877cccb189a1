"""The evaluation container: scores predicted masks as the challenge does. Imports model and training, never torch."""

import sys

if sys.argv[0] == "-m":  # `python -m evaluation.evaluate` is about to start, before its imports
    from model.command import prepare

    prepare()
