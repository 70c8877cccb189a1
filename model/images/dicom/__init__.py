"""DICOM in: which files, which series, where its slices lie, what its numbers mean."""
