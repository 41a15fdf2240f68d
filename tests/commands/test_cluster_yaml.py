"""The cluster files: valid for Ray, an idle head, workers from none to a maximum; and what a submitted job uploads."""

import importlib.util
import shlex
import shutil
import tomllib
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml
from ray._private.ray_constants import get_runtime_env_default_excludes
from ray._private.runtime_env.packaging import create_package
from ray.autoscaler._private.util import prepare_config, validate_config

from mixstage.plan.load import load_plan

ROOT = Path(__file__).parents[2]
MOUNT = "/home/ubuntu/mixstage"


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    """cluster.yaml with the defaults that `ray up` fills in."""
    filled: dict[str, Any] = prepare_config(yaml.safe_load((ROOT / "cluster.yaml").read_text()))
    return filled


@pytest.fixture(scope="module")
def ray_job() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "jobs/rayjob.yaml").read_text())
    return loaded


def test_ray_accepts_the_cluster_file(cluster: dict[str, Any]) -> None:
    validate_config(cluster)  # Ray's own schema, as `ray up` applies it
    with pytest.raises(Exception, match="'idle_timeout_minuts' was unexpected"):
        validate_config({**cluster, "idle_timeout_minuts": 5})


def test_the_head_takes_no_work(cluster: dict[str, Any]) -> None:
    head = cluster["available_node_types"][cluster["head_node_type"]]
    assert head["resources"] == {"CPU": 0} and head["max_workers"] == 0
    assert "--num-cpus=0" in shlex.split(cluster["head_start_ray_commands"][-1])


def test_workers_start_at_none_and_leave_when_idle(cluster: dict[str, Any]) -> None:
    types = {name: part for name, part in cluster["available_node_types"].items() if name != cluster["head_node_type"]}
    assert set(types) == {"cpu_worker", "gpu_worker"}
    for part in types.values():
        assert part["min_workers"] == 0 < part["max_workers"] and part["resources"]["CPU"] > 0
    assert types["gpu_worker"]["resources"]["GPU"] > 0 and "GPU" not in types["cpu_worker"]["resources"]
    assert sum(part["max_workers"] for part in types.values()) <= cluster["max_workers"]
    assert cluster["idle_timeout_minutes"] > 0


def test_setup_installs_the_pinned_versions_from_files_that_are_there(cluster: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    install = shlex.split(cluster["setup_commands"][-1])
    assert install[:2] == ["cd", "~/mixstage"] and install[install.index("-c") + 1] == "constraints.txt"
    assert install[-2:] == ["-e", "."]
    read = {"pyproject.toml", "constraints.txt", project["project"]["readme"], *project["project"]["license-files"]}
    read |= set(project["tool"]["setuptools"]["packages"]["find"]["where"])
    mounts = {remote: local for remote, local in cluster["file_mounts"].items() if remote.startswith(MOUNT)}
    assert mounts == {f"{MOUNT}/{name}": name for name in read}
    assert all((ROOT / name).exists() for name in read)


def test_every_node_starts_ray_in_the_venv_and_asks_for_the_token(cluster: dict[str, Any]) -> None:
    assert "python3 -m venv ~/venv" in cluster["setup_commands"]
    for commands in (cluster["head_start_ray_commands"], cluster["worker_start_ray_commands"]):
        assert "export PATH=$HOME/venv/bin:$PATH RAY_AUTH_MODE=token;" in commands[-1]
    assert cluster["file_mounts"]["/home/ubuntu/.ray/auth_token"] == "~/.ray/auth_token"  # where Ray looks for it


def test_the_kubernetes_job_runs_a_job_that_is_there(ray_job: dict[str, Any]) -> None:
    python, flag, module, plan, *overrides = shlex.split(ray_job["spec"]["entrypoint"])
    assert (ray_job["kind"], python, flag) == ("RayJob", "python", "-m")
    assert importlib.util.find_spec(module) is not None and module.startswith("jobs.")
    assert overrides[::2] == ["--set"] * (len(overrides) // 2)
    assert load_plan(ROOT / plan, overrides[1::2]).store.startswith("s3://")


def test_the_kubernetes_cluster_has_an_idle_head_too(ray_job: dict[str, Any]) -> None:
    spec = ray_job["spec"]["rayClusterSpec"]
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert spec["rayVersion"] == pinned["ray"] and spec["authOptions"] == {"mode": "token"}
    assert spec["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}
    assert spec["enableInTreeAutoscaling"] and spec["autoscalerOptions"]["idleTimeoutSeconds"] > 0
    assert [group["groupName"] for group in spec["workerGroupSpecs"]] == ["cpu", "gpu"]
    for group in spec["workerGroupSpecs"]:
        assert group["minReplicas"] == 0 < group["maxReplicas"]


def test_the_upload_holds_the_library_and_nothing_that_git_ignores(tmp_path: Path) -> None:
    tree = tmp_path / "repository"
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("lib", "jobs"):
        shutil.copytree(ROOT / name, tree / name, ignore=skip, symlinks=True)
    shutil.copy(ROOT / ".gitignore", tree)
    for name in (
        ".venv/lib/torch.so",
        ".mixstage/corpus/x/manifest.json",
        ".git/HEAD",
        "lib/mixstage/__pycache__/a.pyc",
    ):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    package = tmp_path / "package.zip"
    create_package(str(tree), package, include_gitignore=True, excludes=get_runtime_env_default_excludes())
    with ZipFile(package) as opened:
        names = set(opened.namelist())
    assert {"jobs/pipeline.py", "lib/mixstage/__init__.py", "lib/mixstage/corpus/sample/corpus.jsonl.gz"} <= names
    assert "jobs/plans/sample.yaml" in names  # through the link to the library's
    assert {name.split("/")[0] for name in names} == {"jobs", "lib", ".gitignore"}
    assert not [name for name in names if "__pycache__" in name]
    assert package.stat().st_size < 10 << 20  # bytes: Ray refuses 512 MiB, and each submission sends it
