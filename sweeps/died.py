"""The death of one of several workers, as the trial that they train sees it."""


class WorkerDiedError(Exception):
    """A worker's process is gone; the trial is to start again from its checkpoint."""
