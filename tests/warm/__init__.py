"""Processes whose imports are done: forks of one process that has imported what takes seconds.

A small sweep takes as long as its processes take to import torch, transformers and MLflow: half of
the CPU time of a test that only wants to see it end. A fork is a process of its own, with an
environment, an id and an end of its own; of our code it has imported nothing.
"""

from tests.warm.processes import Process, of_workers, run, with_forks

__all__ = ["Process", "of_workers", "run", "with_forks"]
