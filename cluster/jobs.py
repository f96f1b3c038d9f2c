"""A client of Ray's job server: submit, list, logs, stop."""

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
"""So long a cluster that followed logs come from may be away."""
TOKEN_ADVICE = "put the right one into RAY_AUTH_TOKEN, or its file's name into RAY_AUTH_TOKEN_PATH"
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Job:
    """How a job stands."""

    id: str
    status: str
    """PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED, as Ray has it."""
    message: str
    entrypoint: str
    submitted_at_s: float | None
    """Seconds since 1970."""
    ended_at_s: float | None
    exit_code: int | None
    """Of the entrypoint."""
    metadata: Mapping[str, str]

    @property
    def has_ended(self) -> bool:
        """It will not change any more."""
        return self.status in ENDED


class Jobs:
    """The jobs of one cluster.

    Args:
        address: Of the Ray dashboard, ``http://HEAD:8265``.
        token: Of a cluster that has token authentication on; None sends none.

    Raises:
        UnreachableError: Nobody answers there.
        AuthenticationError: The cluster wants a token, or another one.
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
            entrypoint: The command, run on the head in a folder that has ``files`` alone.
            files: By their names there.
            packages: Folders of Python packages, to be imported by the job and its workers.
            environment: Variables of both; the dashboard shows them to its readers.
            metadata: Kept with the job.

        Raises:
            UploadError: A file is not there, or all is too large.
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
        """Whether the cluster answers people without a token, too."""
        import requests

        return bool(self._ask(lambda: requests.get(self._address + "/api/version", timeout=10)).ok)

    def list(self) -> list[Job]:
        """Every submitted job, the newest first."""
        found = [_job(details) for details in self._ask(self._client.list_jobs)]
        named = [job for job in found if job.id]
        return sorted(named, key=lambda job: -(job.submitted_at_s or 0.0))

    def status(self, job_id: str) -> Job:
        """How a job stands.

        Raises:
            UnknownJobError: There is none of that id.
        """
        return _job(self._ask(lambda: self._client.get_job_info(job_id), job_id))

    def logs(self, job_id: str) -> str:
        """All that a job has printed so far."""
        text: str = self._ask(lambda: self._client.get_job_logs(job_id), job_id)
        return text

    def follow(self, job_id: str) -> Iterator[str]:
        """What a job prints, until it ends; a cluster that is away for a minute is waited for."""
        seen, answered_s = 0, time.monotonic()
        while True:
            try:
                ended = self.status(job_id).has_ended  # asked first, so that no last line is lost
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
        """Ask a job to stop and wait until it has; returns how it ended.

        Raises:
            ClusterError: It has not ended in time.
        """
        self._ask(lambda: self._client.stop_job(job_id), job_id)
        until = time.monotonic() + timeout_s
        while not (job := self.status(job_id)).has_ended:
            if time.monotonic() > until:
                raise ClusterError(f"the job {job_id} is still {job.status} after {timeout_s:g} s")
            time.sleep(POLL_S)
        return job

    def _ask(self, question: Callable[[], Answer], job_id: str = "") -> Answer:
        """Ask Ray, and word what it raises."""
        import ray.exceptions
        import requests

        try:
            return question()
        except ray.exceptions.AuthenticationError:
            raise AuthenticationError(self._access_advice()) from None
        except (ConnectionError, requests.exceptions.RequestException) as error:
            raise UnreachableError(
                f"no Ray dashboard answers at {self._address} ({type(error).__name__}); it is "
                "where `ray start --head` says, usually http://HEAD:8265"
            ) from None
        except RuntimeError as error:
            if job_id and "does not exist" in str(error):
                raise UnknownJobError(self._unknown(job_id)) from None
            raise ClusterError(f"the cluster at {self._address} refused: {error}") from None

    def _access_advice(self) -> str:
        said = "wants a token" if self._token is None else "refuses this token"
        return f"the Ray cluster at {self._address} {said}; {TOKEN_ADVICE}"

    def _unknown(self, job_id: str) -> str:
        known: list[str] = []
        with contextlib.suppress(ClusterError):
            known = [job.id for job in self.list()]
        has = ", ".join(known) or "none"
        return f"there is no job {job_id!r} at {self._address}; it has: {has}"


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
