"""The MLflow runs of a sweep that is half done, made without a driver."""

import time
from itertools import count

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from sweeps.storage.format import FORMAT

_NUMBERS = count()


class RunningSweep:
    """Runs of four trials: one finished in 10 s, one at 25 of 100 steps, two not started."""

    def __init__(self, client: MlflowClient, uri: str) -> None:
        self.client, self.uri, self.name = client, uri, f"running-{next(_NUMBERS)}"
        self._experiment = client.create_experiment(self.name)
        tags = {"lnt.kind": "sweep", "lnt.num_trials": "4", "lnt.format": str(FORMAT)}
        self._parent = client.create_run(self._experiment, tags=tags).info.run_id
        finished = self._trial("full lr=1e-3", "finished", step=100, rate="0.001")
        times = [Metric(f"time/{p}_s", s, 0, 100) for p, s in (("prepare", 1), ("train", 8))]
        times += [Metric("time/evaluate_s", 1.0, 0, 100), Metric("select/cider", 80.0, 0, 100)]
        client.log_batch(finished, metrics=times)
        self.running = self._trial("full lr=1e-4", "running", step=25, rate="0.0001")
        """Run ID of the trial that is still running."""

    def _trial(self, name: str, status: str, *, step: int, rate: str) -> str:
        tags = {"lnt.kind": "trial", "mlflow.parentRunId": self._parent, "lnt.status": status}
        tags |= {"lnt.trial_id": name[-4:], "lnt.strategy": "full", "lnt.num_steps": "100"}
        run = self.client.create_run(self._experiment, run_name=name, tags=tags).info.run_id
        loss = Metric("train/loss", 0.5, int(time.time() * 1000), step)
        self.client.log_batch(run, metrics=[loss], params=[Param("learning_rate", rate)])
        return run

    def end(self, status: str) -> None:
        """End the parent run with one of MLflow's statuses."""
        self.client.set_terminated(self._parent, status)
