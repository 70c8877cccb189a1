"""Makes the weights. Never part of the image."""
