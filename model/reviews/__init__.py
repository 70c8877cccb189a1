"""What a reader made of a draft: the files that the page saves."""
