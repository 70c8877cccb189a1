"""Tables, figures and words of the documentation."""
