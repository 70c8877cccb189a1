"""DICOM out: the mask as a segmentation, and a picture of the slices."""
