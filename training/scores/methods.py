"""The methods that are scored: a list for each file of rows, with the names in the rows and the titles on the pages."""

from training.common.loss_names import LOSS_NAMES

RULE = "z<-2"  # the method of the rows that no network made; its fold is the case's, its seed -1 beside losses, else 0
RULE_TITLE = "rule Z < -2"
STUDY = {name: name for name in LOSS_NAMES} | {RULE: RULE_TITLE}  # <protocol>.csv
CROSSVAL = {  # crossval.csv
    "decision": "trees and networks, calibrated: shipped",
    "trees": "trees alone, no network",
    "trees-on-networks": "trees on the networks' answers",
    "networks": "networks alone, p > 0.5",
    RULE: RULE_TITLE,
}
ADAPTED = {  # adapted.csv
    "ours": "ours as they are, which saw none of these cases",
    "trees": "own trees alone, out of fold",
    "decision": "own networks and trees, out of fold",
    RULE: RULE_TITLE,
}
ESTIMATED = {  # estimated.csv
    "decision": "Z estimated from the ADC, with an atlas: `--estimate-z`",
    "no-atlas": "the same without the atlas, as where registration fails",
    "atlas-alone": "the same, the estimate from the atlas's features alone",
    RULE: f"{RULE_TITLE} on the estimate",
    "adc": "ADC smoothed by 2 mm below a threshold, no estimate",
}
ESTIMATES = tuple(method for method in ESTIMATED if method in ("decision", "no-atlas", "atlas-alone"))  # also of zmap.csv
