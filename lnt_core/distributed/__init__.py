"""Trials that run on several workers: ranks, sharded weights, DeepSpeed's config."""
