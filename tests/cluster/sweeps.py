"""A small sweep on a cluster: submitted, watched, and compared with what MLflow has."""

import collections
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import yaml

from tests import warm
from tests.cluster.raylets import LNT, Cluster
from tests.micro import STAGE, outcome
from tests.servers import HANG_S, USER, MlflowServer

NUM_TRIALS, NUM_STEPS = 4, 200
TRAIN = STAGE | {"max_steps": NUM_STEPS, "checkpoint_every_steps": 10}
CHANGES = {"train": TRAIN, "resources": {"wait_for_nodes_s": 60}, "budget": {"trials": 100}}
"""Of the micro model's sweep, so that a moment to kill something lasts; and a budget, which must
outlive every node but the driver's."""


class SubmittedSweep:
    """One sweep in a storage folder of its own, as a job of a cluster."""

    def __init__(
        self, folder: Path, cluster: Cluster, tracking: MlflowServer, cache: Path, **content
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = content.pop("name")
        self.storage = folder / "shared"
        self.file = folder / "sweep.yaml"
        self._cluster, self._tracking = cluster, tracking
        self._environment = USER | {"LNT_CACHE": str(cache)}
        where = {"uri": tracking.url, "storage": str(self.storage)}
        self.file.write_text(yaml.safe_dump(content | {"name": self.name, "tracking": where}))

    def submit(self, *argv: str) -> str:
        return self._cluster.submit(self.file, *argv, **self._environment)

    def move_to(self, cluster: Cluster) -> None:
        """Go on elsewhere, with the same storage."""
        self._cluster = cluster

    def files(self, pattern: str) -> list[Path]:
        return sorted(self.storage.glob(f"{self.name}/*/trials/*/{pattern}"))

    def num_steps(self) -> int:
        """Steps that the trials have written so far."""
        return sum(path.read_bytes().count(b"\n") for path in self.files("events.jsonl"))

    def wait_until(self, ready: Callable[[], bool], job: str) -> None:
        until = time.monotonic() + HANG_S
        while not ready():
            assert time.monotonic() < until, self._cluster.lnt("logs", job).stdout[-5000:]
            time.sleep(0.05)

    def outcome(self) -> dict:
        """Every trial with its status, its score and the losses of all its steps."""
        return outcome([path.parent for path in self.files("result.json")])

    def winners(self) -> list[tuple[str, float, str]]:
        """The winners with the score to the last digit, read by a client elsewhere."""
        command = [LNT, "best", self.name, "--json", "--tracking-uri", self._tracking.url]
        done = warm.run(command, env=os.environ | USER)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)["winners"]
        return [(w["strategy"], w["learning_rate"], repr(w["score"])) for w in found]

    def nodes(self) -> collections.Counter[str]:
        """On which node how many trials ran."""
        return collections.Counter(
            json.loads(path.read_text())["node"] for path in self.files("result.json")
        )

    def assert_whole(self, database: str) -> None:
        """No trial lost or doubled, and in MLflow just the points that the trials wrote."""
        assert len(self.files("result.json")) == len(self.files("trial.yaml"))
        for path in self.files("result.json"):
            assert json.loads(path.read_text())["status"] == "finished"
        assert_tracked(self.name, [p.parent for p in self.files("events.jsonl")], database)


def assert_tracked(experiment: str, trials: list[Path], database: str) -> None:
    """Each trial is one finished run, with just the points that it wrote."""
    with psycopg.connect(f"{database}/mlflow") as connection:
        for folder in trials:
            runs = connection.execute(
                "select r.run_uuid, r.status from runs r join experiments e using "
                "(experiment_id) join tags t on t.run_uuid = r.run_uuid where e.name = %s "
                "and t.key = 'lnt.trial_id' and t.value = %s",
                (experiment, folder.name),
            ).fetchall()
            assert [status for _, status in runs] == ["FINISHED"]
            logged = connection.execute(
                "select key, step, value from metrics where run_uuid = %s", (runs[0][0],)
            ).fetchall()
            assert collections.Counter(logged) == emitted(folder / "events.jsonl")


def emitted(events: Path) -> collections.Counter:
    """What a trial wrote; a step that it wrote twice counts once."""
    points: dict[tuple[str, int], float] = {}
    for line in events.read_text().splitlines():
        step, _, metrics, _ = json.loads(line)
        for key, value in metrics.items():
            points.setdefault((key, step), value)
    return collections.Counter((key, step, value) for (key, step), value in points.items())
