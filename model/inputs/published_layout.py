"""What the published data set (BONBID-HIE) calls the folders and files of its cases; names are without their suffix."""

import re

ADC_FOLDER, ZADC_FOLDER, LABEL_FOLDER = "1ADC_ss", "2Z_ADC", "3LABEL"
ADC_NAME, ZADC_NAME, LABEL_NAME = "{}-ADC_ss", "Zmap_{}-ADC_smooth2mm_clipped10", "{}_lesion"
ADC_STEM, ZADC_STEM = (re.compile(name.format("(?P<case>.+)")) for name in (ADC_NAME, ZADC_NAME))
