"""What classifiers have in common, whatever their examples are."""
