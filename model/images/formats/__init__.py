"""The other image formats: their names, and MetaImage, NIfTI and NRRD files checked before they are read."""
