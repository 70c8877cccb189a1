"""What the files that are written are called."""
