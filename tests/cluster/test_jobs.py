"""Jobs on a real Ray head behind its token."""

import time
import urllib.error
import urllib.request

import pytest

from cluster.errors import UnknownJobError
from cluster.jobs import Jobs
from tests.cluster.conftest import running
from tests.cluster.raylets import TOKEN, Cluster
from tests.e2e.conftest import Sweep
from tests.servers import HANG_S

pytestmark = pytest.mark.cluster
TALK = "import time\nfor n in range(4):\n    print('line', n, flush=True)\n    time.sleep(0.5)\n"


@pytest.fixture(scope="module")
def jobs(head) -> Jobs:
    return Jobs(head.address, TOKEN)


def start(jobs: Jobs, tmp_path, program: str, command=("python", "main.py"), **environment) -> str:
    """Submit a program beside a package that prints."""
    (tmp_path / "shipped_package").mkdir()
    (tmp_path / "shipped_package" / "__init__.py").write_text("NAME = 'shipped'\n")
    (tmp_path / "program.py").write_text(program)
    return jobs.submit(
        command,
        files={"main.py": tmp_path / "program.py"},
        packages=[tmp_path / "shipped_package"],
        environment=environment,
        metadata={"lnt.sweep": "s"},
    )


def test_a_job_sees_its_files_its_packages_and_its_variables(jobs, tmp_path) -> None:
    program = (
        "import os, shipped_package\n"
        "print(shipped_package.NAME, os.environ['ASKED_FOR'], sorted(os.listdir('.')))\n"
    )
    job = start(jobs, tmp_path, program, ASKED_FOR="x y")
    printed = "".join(jobs.follow(job))
    assert "shipped x y ['main.py']" in printed
    status = jobs.status(job)
    assert (status.status, status.exit_code) == ("SUCCEEDED", 0)
    assert status.metadata["lnt.sweep"] == "s"
    assert status.ended_at_s >= status.submitted_at_s
    assert job in [known.id for known in jobs.list()]


def test_followed_logs_have_every_line_once(jobs, tmp_path) -> None:
    job = start(jobs, tmp_path, TALK)
    pieces = list(jobs.follow(job))
    lines = "".join(pieces).splitlines()
    assert [line for line in lines if line.startswith("line")] == [f"line {n}" for n in range(4)]
    assert len(pieces) > 1  # as it was printed, not at the end


def test_a_failed_job_says_its_exit_code(jobs, tmp_path) -> None:
    job = start(jobs, tmp_path, "raise SystemExit(3)")
    list(jobs.follow(job))
    status = jobs.status(job)
    assert (status.status, status.exit_code) == ("FAILED", 3)


def test_a_job_is_stopped(head, jobs, tmp_path) -> None:
    job = start(jobs, tmp_path, "import time\nprint('up', flush=True)\ntime.sleep(600)")
    until = time.monotonic() + 60
    while "up" not in jobs.logs(job):
        assert time.monotonic() < until
        time.sleep(0.5)
    stopped = head.lnt("stop", job)
    assert (stopped.returncode, stopped.stdout.split()[0]) == (0, "STOPPED")


def test_an_unknown_job_is_told_with_those_there_are(jobs) -> None:
    with pytest.raises(UnknownJobError, match="there is no job 'nope' at http"):
        jobs.status("nope")


class TestToken:
    def test_a_raw_client_without_it_gets_401(self, head) -> None:
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(f"{head.address}/api/jobs/")
        assert refusal.value.code == 401

    @pytest.mark.parametrize(
        ("token", "said"), [(None, "requires a token"), ("wrong", "rejects the token")]
    )
    def test_without_it_or_with_a_wrong_one_it_is_said_in_one_sentence(
        self, token, said, head
    ) -> None:
        done = head.lnt("jobs", token=token)
        assert done.returncode == 4
        assert done.stderr == (
            f"lnt: the Ray cluster at {head.address} {said}; set RAY_AUTH_TOKEN to the token, or "
            "RAY_AUTH_TOKEN_PATH to a file that contains it\n"
        )


def test_a_cluster_that_lets_everyone_in_is_known(head, tmp_path) -> None:
    assert not Jobs(head.address, TOKEN).is_open()
    with running(Cluster(tmp_path / "open", RAY_AUTH_MODE="disabled")) as cluster:
        cluster.start_head()
        assert Jobs(cluster.address).is_open()


@pytest.mark.parametrize("token", ["wrong", None])
def test_a_driver_without_the_token_is_refused_and_leaves_nothing(
    token, head, tmp_path, cache, micro
) -> None:
    sweep = Sweep(tmp_path / "refused", cache, **micro)
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        sweep.environment.pop(name, None)
    sweep.environment |= {"HOME": str(tmp_path), "RAY_AUTH_MODE": "token"}
    if token:
        sweep.environment["RAY_AUTH_TOKEN"] = token
    driver = sweep.start("run", "sweep.yaml", "--address", head.gcs)
    assert driver.wait(timeout=HANG_S) == 4
    said = (sweep.folder / "driver.log").read_text()
    assert f"lnt: the Ray cluster at {head.gcs} requires a token, or rejects the given one" in said
    assert "Traceback" not in said
    assert not (sweep.folder / "lnt_runs").exists()


def test_a_driver_whose_cluster_is_not_there_is_refused(tmp_path, cache, micro) -> None:
    sweep = Sweep(tmp_path / "nowhere", cache, **micro)
    driver = sweep.start("run", "sweep.yaml", "--address", "127.0.0.1:9")
    assert driver.wait(timeout=HANG_S) == 2
    assert "lnt: no Ray cluster listens at 127.0.0.1:9" in (sweep.folder / "driver.log").read_text()


def test_a_driver_with_the_token_runs_there(head, tmp_path, cache, micro) -> None:
    search = {"strategy": ["layernorm"], "learning_rate": [1e-3]}
    sweep = Sweep(tmp_path / "there", cache, **(micro | {"search": search}))
    sweep.environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
    sweep.lnt("run", "sweep.yaml", "--address", head.gcs)
    assert len(sweep.files("result.json")) == 1
