"""What the image ships: reads a case, finds the lesions, writes the mask. Imports nothing from training."""

__version__ = "0.1.0"
