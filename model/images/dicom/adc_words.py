"""Which words of an image type or a description say that a series is an ADC map, and which that it is not."""

import re

EXPONENTIAL = re.compile(r"(?<![a-z])e(xp\w*)?[-_ ]?adc|exponential|adc[-_ ]?exp", re.IGNORECASE)
ADC = re.compile(r"adc|apparent[-_ ]?diffusion", re.IGNORECASE)
OTHER_TYPES = re.compile(r"\b(trace\w*|b0|b_?value|fa|colfa|tensor\w*|locali[sz]er|scout|eadc|exp\w*)\b", re.IGNORECASE)
