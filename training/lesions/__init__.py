"""How the lesion decision is fitted."""
