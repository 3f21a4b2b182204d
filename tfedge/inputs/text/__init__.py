"""Texts: files, a tokenizer's vocabulary, ids."""
