"""Losses, the two protocols and the configuration of a run."""
