"""The tags of MLflow runs: the name of each and its meaning.

This is the one place where they are named; docs/tags.md is generated from it (`make docs`).
"""

from typing import NamedTuple


class Tag(NamedTuple):
    """A tag of a run of a trial or of a sweep."""

    name: str
    runs: str
    """Which runs have it: ``sweep``, ``trial`` or ``both``."""
    meaning: str


TAGS: dict[str, Tag] = {}
"""Every tag by its name."""


def _tag(name: str, runs: str, meaning: str) -> str:
    TAGS[name] = Tag(name, runs, meaning)
    return name


KIND = _tag("lnt.kind", "both", "`sweep` for the parent run of an execution, `trial` for a trial.")
FORMAT = _tag("lnt.format", "sweep", "Number of the format in which the execution was written.")
SWEEP = _tag("lnt.sweep", "both", "The sweep's name.")
EXECUTION = _tag("lnt.execution", "sweep", "The execution's folder name: when it was started.")
NUM_TRIALS = _tag("lnt.num_trials", "sweep", "How many trials are planned so far.")
METRIC = _tag("lnt.metric", "both", "What was scored on what: `select/cider on flickr30k val`.")
VERSION = _tag("lnt.version", "both", "Version of lnt.")
VERSIONS = _tag("lnt.versions", "both", "Versions of the libraries, as JSON.")
GIT_COMMIT = _tag("lnt.git_commit", "both", "Commit of the source, where it is a git checkout.")
DATA_SHA256 = _tag(
    "lnt.data_sha256", "both", "Hash of the annotations and of the images' names and sizes."
)
REQUEST = _tag("lnt.request.*", "sweep", "A request of `lnt trial`, as JSON.")
ANSWER = _tag("lnt.answer.*", "sweep", "The driver's answer to the request of the same id.")

TRIAL_ID = _tag("lnt.trial_id", "trial", "Hash of the trial's config and data.")
STATUS = _tag("lnt.status", "trial", "A status of `TrialStatus` in sweeps/storage/execution.py.")
STRATEGY = _tag("lnt.strategy", "trial", "The strategy's name.")
OPTIONS = _tag(
    "lnt.options", "trial", "What else the trial varies but the learning rate: `rank=8`."
)
SEED = _tag("lnt.seed", "trial", "Seed of its training.")
NUM_STEPS = _tag("lnt.num_steps", "trial", "Optimiser steps that it will take.")
NODE = _tag("lnt.node", "trial", "IP address of the node on which it ended.")
MICRO_BATCH = _tag("lnt.micro_batch", "trial", "How `micro_batch_size: auto` was settled.")
RETRIED = _tag("lnt.retried", "trial", "Why it was run again with a smaller micro-batch.")
STOPPED_BY = _tag("lnt.stopped_by", "trial", "`user` if somebody stopped it with `lnt trial stop`.")
ADDED_BY = _tag(
    "lnt.added", "trial", "Why the sweep gained it: `edge`, `seed` or `clone`; absent otherwise."
)
CLONED_FROM = _tag("lnt.cloned_from", "trial", "Id of the trial of which it is a clone.")
STARTED_AT_STEP = _tag(
    "lnt.started_at_step", "trial", "Step of the other trial's checkpoint from which it began."
)


def numbered(tag: str, number: str) -> str:
    """The tag of one request or answer: the ``*`` is its id."""
    return tag.replace("*", number)
