"""A client of Ray's job server: submits, lists, follows and stops jobs."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cluster.errors import AuthenticationError, ClusterError, UnknownJobError, UnreachableError
from cluster.upload import assemble

ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
POLL_S = 1.0
MAX_SILENCE_S = 60.0
"""Seconds for which :meth:`Jobs.follow` waits for a cluster that does not answer."""
TOKEN_ADVICE = "set RAY_AUTH_TOKEN to the token, or RAY_AUTH_TOKEN_PATH to a file that contains it"
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Job:
    """A job and its state."""

    id: str
    status: str
    """Ray's status: PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""
    message: str
    entrypoint: str
    submitted_at_s: float | None
    """Seconds since 1970."""
    ended_at_s: float | None
    exit_code: int | None
    """Exit code of the entrypoint."""
    metadata: Mapping[str, str]

    @property
    def has_ended(self) -> bool:
        """Whether the status is final."""
        return self.status in ENDED


class Jobs:
    """The jobs of one cluster.

    Args:
        address: URL of the Ray dashboard, ``http://HEAD:8265``.
        token: Token of a cluster with token authentication; None to send none.

    Raises:
        UnreachableError: No dashboard answers at the address.
        AuthenticationError: The cluster requires a token, or rejects the one given.
    """

    def __init__(self, address: str, token: str | None = None) -> None:
        from ray.job_submission import JobSubmissionClient

        self._address = address
        self._token = token
        headers = {"Authorization": f"Bearer {token}"} if token else None
        self._client: Any = self._ask(lambda: JobSubmissionClient(address, headers=headers))

    def submit(
        self,
        entrypoint: Sequence[str],
        *,
        files: Mapping[str, Path],
        packages: Sequence[Path],
        environment: Mapping[str, str],
        metadata: Mapping[str, str],
    ) -> str:
        """Start a job; returns its id.

        Args:
            entrypoint: The command, run on the head node in a folder that contains only ``files``.
            files: Files to ship, by their paths in that folder.
            packages: Folders of Python packages that the job and its workers can import.
            environment: Environment variables of the job and its workers; anyone who can open the
                dashboard can read them.
            metadata: Key-value pairs stored with the job.

        Raises:
            UploadError: A file is missing, or the files are too large.
        """
        import shlex

        folder = Path(tempfile.mkdtemp(prefix="lnt-job-"))
        try:
            shipped = assemble(folder, files, packages)
            runtime = {
                "working_dir": str(shipped.working_dir),
                "py_modules": [str(package) for package in shipped.packages],
                "env_vars": dict(environment),
            }
            job: str = self._ask(
                lambda: self._client.submit_job(
                    entrypoint=shlex.join(entrypoint), runtime_env=runtime, metadata=dict(metadata)
                )
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return job

    def is_open(self) -> bool:
        """Whether the cluster answers requests without a token."""
        import requests

        return bool(self._ask(lambda: requests.get(self._address + "/api/version", timeout=10)).ok)

    def list(self) -> list[Job]:
        """Every submitted job, the newest first."""
        found = [_job(details) for details in self._ask(self._client.list_jobs)]
        named = [job for job in found if job.id]
        return sorted(named, key=lambda job: -(job.submitted_at_s or 0.0))

    def status(self, job_id: str) -> Job:
        """The current state of a job.

        Raises:
            UnknownJobError: There is no job of that id.
        """
        return _job(self._ask(lambda: self._client.get_job_info(job_id), job_id))

    def logs(self, job_id: str) -> str:
        """Everything that a job has printed so far."""
        text: str = self._ask(lambda: self._client.get_job_logs(job_id), job_id)
        return text

    def follow(self, job_id: str) -> Iterator[str]:
        """Yield what a job prints until it ends, with retries while the cluster does not answer.

        Raises:
            UnreachableError: The cluster has not answered for ``MAX_SILENCE_S`` seconds.
        """
        seen, answered_s = 0, time.monotonic()
        while True:
            try:
                ended = self.status(job_id).has_ended  # before the logs: no last line is lost
                text = self.logs(job_id)
                answered_s = time.monotonic()
            except UnreachableError:
                if time.monotonic() - answered_s > MAX_SILENCE_S:
                    raise
                ended, text = False, ""
            if len(text) > seen:
                yield text[seen:]
                seen = len(text)
            if ended:
                return
            time.sleep(POLL_S)

    def stop(self, job_id: str, *, timeout_s: float) -> Job:
        """Stop a job, wait until it has ended, and return it.

        Raises:
            ClusterError: The job has not ended after ``timeout_s`` seconds.
        """
        self._ask(lambda: self._client.stop_job(job_id), job_id)
        until = time.monotonic() + timeout_s
        while not (job := self.status(job_id)).has_ended:
            if time.monotonic() > until:
                raise ClusterError(f"the job {job_id} is still {job.status} after {timeout_s:g} s")
            time.sleep(POLL_S)
        return job

    def _ask(self, question: Callable[[], Answer], job_id: str = "") -> Answer:
        """Call Ray, and turn its exceptions into errors of this package."""
        import ray.exceptions
        import requests

        try:
            return question()
        except ray.exceptions.AuthenticationError:
            raise AuthenticationError(self._access_advice()) from None
        except (ConnectionError, requests.exceptions.RequestException) as error:
            raise UnreachableError(
                f"no Ray dashboard answers at {self._address} ({type(error).__name__}); its "
                "address is printed by `ray start --head`, usually http://HEAD:8265"
            ) from None
        except RuntimeError as error:
            if job_id and "does not exist" in str(error):
                raise UnknownJobError(self._unknown(job_id)) from None
            raise ClusterError(
                f"a request to the cluster at {self._address} failed: {error}"
            ) from None

    def _access_advice(self) -> str:
        reason = "requires a token" if self._token is None else "rejects the token"
        return f"the Ray cluster at {self._address} {reason}; {TOKEN_ADVICE}"

    def _unknown(self, job_id: str) -> str:
        known: list[str] = []
        with contextlib.suppress(ClusterError):
            known = [job.id for job in self.list()]
        listed = ", ".join(known) or "none"
        return f"there is no job {job_id!r} at {self._address}; known jobs: {listed}"


def _job(details: Any) -> Job:
    def seconds(milliseconds: int | None) -> float | None:
        return None if milliseconds is None else milliseconds / 1000

    return Job(
        id=str(details.submission_id or ""),
        status=str(getattr(details.status, "value", details.status)),
        message=str(details.message or ""),
        entrypoint=str(details.entrypoint),
        submitted_at_s=seconds(details.start_time),
        ended_at_s=seconds(details.end_time),
        exit_code=details.driver_exit_code,
        metadata=dict(details.metadata or {}),
    )
