"""What the files are called that are written of a folder of cases; see `platform_paths` for the others of each case."""

MASK_STEM, PROBABILITIES_STEM, ZMAP_STEM = "lesions", "probabilities", "zmap-estimated"  # of images in a case's folder
SUMMARY, INDEX = "summary.csv", "index.html"  # in the output folder, so no case can have these names
