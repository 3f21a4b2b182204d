"""Text classification: which of the classes a text is of."""
