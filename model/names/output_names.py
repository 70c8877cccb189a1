"""What the files are called that are written of a folder of cases; see `platform_paths` for the others of each case."""

import re

# of images in a case's folder; the draft is the mask before a review
MASK_STEM, DRAFT_STEM, PROBABILITIES_STEM, ZMAP_STEM = "lesions", "lesions-draft", "probabilities", "zmap-estimated"
SUMMARY, INDEX = "summary.csv", "index.html"  # in the output folder, so no case can have these names
PREVIOUS = "previous"  # nor that of the folder of what moved aside, in a folder for each run that is called by its time
TIME, TIME_NAME = "%Y-%m-%dT%H-%M-%S", re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(\.\d+)?")
