"""Files to arrays and back, and what an image must be to be used."""
