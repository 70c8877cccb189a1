"""Which cases an input holds, before any image is opened."""
