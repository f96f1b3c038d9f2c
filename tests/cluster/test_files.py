"""The files that bring a cluster up, by the schemas and validators of the tools that read them."""

import copy
import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from string import Template

import jsonschema
import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose
from ray.autoscaler._private.util import prepare_config, validate_config

from lnt_core import __version__
from sweeps.nodes.nvidia import OLDEST_DRIVER

CLUSTER = Path(__file__).parents[2] / "cluster"
BIN = Path(sys.executable).parent
RAY = version("ray")
LAUNCHERS = sorted((CLUSTER / "launcher").glob("*.yaml"))
MANIFESTS = sorted((CLUSTER / "kubernetes").glob("*.yaml"))
EXACT = re.compile(r"[\w/]+:\d+\.\d+(\.\d+)?-[\w-]+(@sha256:[0-9a-f]{64})?")
"""An image with its whole version: PostgreSQL's has two numbers. A digest may follow."""
CUDA_OF_TORCH = {"2.13": 13}
"""The major version of CUDA of PyPI's build of the pinned torch; look it up for a new pin."""
SHELL = ("slurm/sweep.sbatch", "mlflow/serve.sh")


def documents(path: Path) -> list[dict]:
    return list(yaml.safe_load_all(path.read_text()))


def cluster_spec(document: dict) -> dict | None:
    if document["kind"] == "RayJob":
        return document["spec"]["rayClusterSpec"]
    return document["spec"] if document["kind"] == "RayCluster" else None


@pytest.mark.parametrize("path", LAUNCHERS, ids=lambda path: path.stem)
class TestLauncher:
    def test_ray_takes_it(self, path) -> None:
        config = yaml.safe_load(path.read_text())
        validate_config(prepare_config(copy.deepcopy(config)))

    def test_a_field_that_ray_does_not_know_is_refused(self, path) -> None:
        """So that the test above can fail."""
        config = yaml.safe_load(path.read_text()) | {"workers_at_most": 3}
        with pytest.raises(jsonschema.ValidationError, match="workers_at_most"):
            validate_config(prepare_config(config))

    def test_every_node_starts_behind_the_token(self, path) -> None:
        config = yaml.safe_load(path.read_text())
        starts = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
        starts = [command for command in starts if "ray start" in command]
        assert len(starts) == 2
        assert all("RAY_AUTH_MODE=token" in command for command in starts)
        assert any(target.endswith(".ray/auth_token") for target in config["file_mounts"])


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
class TestKubernetes:
    def test_its_pods_and_claims_are_as_kubernetes_has_them(self, path) -> None:
        checked = 0
        for document in documents(path):
            spec = cluster_spec(document)
            groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]] if spec else []
            pods = [
                {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}} | group["template"]
                for group in groups
            ]
            for checkable in pods or [document]:
                kubernetes_validate.validate(
                    checkable, kubernetes_validate.latest_version(), strict=True
                )
                checked += 1
        assert checked >= 2

    def test_it_has_the_installed_ray_and_its_token(self, path) -> None:
        (spec,) = filter(None, map(cluster_spec, documents(path)))
        assert spec["rayVersion"] == RAY
        assert spec["authOptions"] == {"mode": "token"}

    def test_volumes_are_those_that_containers_mount(self, path) -> None:
        (spec,) = filter(None, map(cluster_spec, documents(path)))
        for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
            pod = group["template"]["spec"]
            mounted = {m["name"] for c in pod["containers"] for m in c["volumeMounts"]}
            assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_compose_takes_the_tracking_server() -> None:
    text = (CLUSTER / "mlflow" / "compose.yaml").read_text()
    PyCompose.from_yaml(text)
    services = yaml.safe_load(text)["services"]
    for service in services.values():  # nothing secret is written down
        for name, value in service["environment"].items():
            secret = any(word in name for word in ("PASSWORD", "SECRET"))
            assert not secret or value.startswith("${")
    with pytest.raises(Exception, match="restart_policy"):
        PyCompose.from_yaml(text.replace("restart:", "restart_policy:"))


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["Dockerfile", "mlflow/Dockerfile"])
def test_hadolint_has_nothing_to_say(name) -> None:
    done = subprocess.run([BIN / "hadolint", CLUSTER / name], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", ["Dockerfile", "mlflow/Dockerfile"])
def test_what_an_image_copies_is_there(name) -> None:
    root = CLUSTER.parent
    ignored = (root / ".dockerignore").read_text().splitlines()
    for line in (CLUSTER / name).read_text().splitlines():
        if line.startswith("COPY"):
            *sources, _ = [word for word in line.split()[1:] if not word.startswith("--")]
            for source in sources:
                assert (root / source).exists()
                assert f"!{source.split('/')[0]}" in ignored


def test_the_images_have_the_pinned_versions() -> None:
    assert f"ARG RAY_VERSION={RAY}" in (CLUSTER / "Dockerfile").read_text()
    mlflow = ".".join(version("mlflow").split(".")[:2])
    assert f"mlflow=={mlflow}.*" in (CLUSTER / "mlflow" / "Dockerfile").read_text()


def test_the_image_of_nodes_has_deepspeed_and_what_compiles_its_operators() -> None:
    text = (CLUSTER / "Dockerfile").read_text()
    assert "pip install --no-cache-dir --constraint constraints.txt '.[deepspeed]'" in text
    assert re.search(r"apt-get install .*\bg\+\+", text)
    assert "CPUAdamBuilder().load()" in text
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in text
    (command,) = re.findall(r"^(?:CMD|ENTRYPOINT) (.*)$", text, re.MULTILINE)
    assert json.loads(command)[0] == "lnt"  # a list: no shell that keeps signals from it


def test_every_driver_that_is_named_fits_the_pinned_torch() -> None:
    constraints = (CLUSTER.parent / "constraints.txt").read_text()
    (pin,) = re.findall(r"^torch==(\d+\.\d+)", constraints, re.MULTILINE)
    oldest = OLDEST_DRIVER[CUDA_OF_TORCH[pin]]
    for path in [*LAUNCHERS, *MANIFESTS, CLUSTER / "slurm/sweep.sbatch", CLUSTER / "Dockerfile"]:
        named = re.findall(r"(?:driver |nvidia-)(\d{3})\b", path.read_text())
        assert named, path
        assert all(int(number) >= oldest for number in named), path


def test_gpus_are_asked_for_wherever_nodes_are() -> None:
    for path in LAUNCHERS:
        types = yaml.safe_load(path.read_text()).get("available_node_types", {})
        workers = [found for name, found in types.items() if name != "head"]
        assert all(found["resources"]["GPU"] >= 1 for found in workers)
        assert len(workers) == (0 if path.stem == "onprem" else 1)
    for path in MANIFESTS:
        (spec,) = filter(None, map(cluster_spec, documents(path)))
        for group in spec["workerGroupSpecs"]:
            (container,) = group["template"]["spec"]["containers"]
            assert int(container["resources"]["limits"]["nvidia.com/gpu"]) >= 1
    script = (CLUSTER / "slurm" / "sweep.sbatch").read_text()
    assert re.search(r"^#SBATCH --gpus-per-node=[1-9]", script, re.MULTILINE)


def images() -> dict[str, set[str]]:
    """Every image that a file in cluster/ starts from or runs, with the files that name it."""
    found: dict[str, set[str]] = {}
    for path in sorted(CLUSTER.rglob("*")):
        if path.name == "Dockerfile":
            text = path.read_text()
            arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, re.MULTILINE))
            named = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
            named = [Template(image).substitute(arguments) for image in named]
        elif path.suffix == ".yaml":
            named = re.findall(r"^\s*(?:- )?image:\s*(\S+)", path.read_text(), re.MULTILINE)
        else:
            continue
        for image in named:
            found.setdefault(image, set()).add(path.relative_to(CLUSTER.parent).as_posix())
    return found


def test_every_image_has_an_exact_version_and_the_command_that_pins_it() -> None:
    readme = (CLUSTER / "README.md").read_text()
    own = f"lnt:{__version__}"
    found = images()
    assert len(found) == 4
    assert len(found.pop(own)) == len(LAUNCHERS) - 1 + len(MANIFESTS)  # onprem has no container
    for name in ("README.md", "Dockerfile"):
        assert f"docker build -f cluster/Dockerfile -t {own} ." in (CLUSTER / name).read_text()
    for image, files in found.items():
        assert EXACT.fullmatch(image), image
        tag = image.partition("@")[0]
        command = f"docker buildx imagetools inspect {tag} --format '{{{{.Manifest.Digest}}}}'"
        (line,) = [line for line in readme.splitlines() if line.startswith(command)]
        assert {line.rpartition("# ")[2]} == files


@pytest.mark.heavy
@pytest.mark.parametrize("name", SHELL)
def test_shellcheck_has_nothing_to_say(name) -> None:
    command = [BIN / "shellcheck", "--format=json", CLUSTER / name]
    done = subprocess.run(command, capture_output=True, text=True)
    assert json.loads(done.stdout) == []
