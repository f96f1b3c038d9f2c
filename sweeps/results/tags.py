"""The tags of MLflow runs: their names and meanings.

This is the only place where they are named; docs/tags.md is generated from it (`make docs`).
"""

from typing import NamedTuple


class Tag(NamedTuple):
    """A tag of trials' runs, of parent runs, or of both."""

    name: str
    runs: str
    """The runs that have it: ``sweep`` (parent runs), ``trial`` or ``both``."""
    meaning: str


TAGS: dict[str, Tag] = {}
"""All tags by name."""


def _tag(name: str, runs: str, meaning: str) -> str:
    TAGS[name] = Tag(name, runs, meaning)
    return name


KIND = _tag(
    "lnt.kind",
    "both",
    "`sweep` for a parent run, `trial` for the run of a trial, `align` for that of stage 1.",
)
FORMAT = _tag("lnt.format", "sweep", "Format number of the execution.")
SWEEP = _tag("lnt.sweep", "both", "The sweep's name.")
EXECUTION = _tag("lnt.execution", "sweep", "Name of the execution's folder: the time of its start.")
NUM_TRIALS = _tag("lnt.num_trials", "sweep", "Number of trials planned so far.")
BASE_NOTE = _tag("lnt.base_note", "sweep", "Why the untuned base lacks the score of a task.")
METRIC = _tag("lnt.metric", "both", "Metric and split: `select/cider on flickr30k val`.")
VERSION = _tag("lnt.version", "both", "Version of lnt.")
VERSIONS = _tag("lnt.versions", "both", "Versions of the libraries, as JSON.")
GIT_COMMIT = _tag("lnt.git_commit", "both", "Git commit of lnt, if it runs from a checkout.")
DATA_SHA256 = _tag(
    "lnt.data_sha256", "both", "Hash of the annotations and of the images' names and sizes."
)
ALIGN_ID = _tag(
    "lnt.align_id",
    "sweep",
    "Hash of the config and data of stage 1; also its run's. Of several, all, in a comma list.",
)
ALIGN_RUN = _tag(
    "lnt.align_run",
    "sweep",
    "ID of the run of each of these, which may be nested in another sweep.",
)
REQUEST = _tag("lnt.request.*", "sweep", "A request made by `lnt trial`, as JSON.")
ANSWER = _tag("lnt.answer.*", "sweep", "The driver's answer to the request with the same ID.")

TRIAL_ID = _tag("lnt.trial_id", "trial", "Hash of the trial's config and data.")
STATUS = _tag("lnt.status", "trial", "A value of `TrialStatus` in sweeps/storage/execution.py.")
STRATEGY = _tag("lnt.strategy", "trial", "The strategy's name.")
OPTIONS = _tag("lnt.options", "trial", "The strategy's options and other varied values: `rank=8`.")
SEED = _tag("lnt.seed", "trial", "Seed of the training.")
NUM_STEPS = _tag("lnt.num_steps", "trial", "Optimizer steps of the whole training.")
NODE = _tag("lnt.node", "trial", "IP address of the node it ran on.")
MICRO_BATCH = _tag(
    "lnt.micro_batch",
    "trial",
    "Micro-batch size and gradient checkpointing that were found for `auto`, and why.",
)
TRIAL_NOTE = _tag(
    "lnt.note",
    "trial",
    "Why it was run again with gradient checkpointing or a smaller micro-batch size, or why it has "
    "no analysis.",
)
STOPPED_BY = _tag("lnt.stopped_by", "trial", "`user` if it was stopped by `lnt trial stop`.")
ADDED_BY = _tag("lnt.added", "trial", "Why it was added to the sweep: `edge`, `seed` or `clone`.")
CLONED_FROM = _tag("lnt.cloned_from", "trial", "For a clone: ID of the original trial.")
STARTED_AT_STEP = _tag(
    "lnt.started_at_step", "trial", "For a clone that starts from a checkpoint: its step."
)


def numbered(tag: str, number: str) -> str:
    """The tag of one request or answer, whose id replaces the ``*``."""
    return tag.replace("*", number)
