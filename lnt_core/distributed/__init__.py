"""Trials of several workers: ranks, weights in parts, DeepSpeed's config."""
