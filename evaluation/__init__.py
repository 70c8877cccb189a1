"""The evaluation container: scores predicted masks as the challenge does. Imports model and training, never torch."""
