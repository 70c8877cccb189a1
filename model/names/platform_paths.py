"""Where the platform expects the mask, what lies beside it, and the port of the invoke mode (challenge BONBID-HIE)."""

MASK_PATH = "images/hie-lesion-segmentation/overlay.mha"
PROBABILITIES_PATH = "images/hie-lesion-probabilities/probabilities.mha"  # apart: the mask's folder may hold one image
ZMAP_PATH = "images/z-score-adc-estimated/z-score-adc.mha"  # an estimated one; so that no one takes it for given
RESULTS_PATH = "results.json"
REPORT_PATH = "report.html"
PORT = 4743  # of the invoke mode
SEGMENTATION_PATH, CAPTURE_PATH = "lesions.dcm", "report.dcm"  # where the ADC map came as DICOM
