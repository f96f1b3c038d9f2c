"""Captions by greedy decoding, and their CIDEr."""
