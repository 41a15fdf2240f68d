"""Every job by `ray job submit`, on the cluster of cluster.yaml: its node types and autoscaler, on this one machine.

The head has no CPU and there is no worker at first, so whatever needs one makes Ray's own autoscaler start it. Only
the provider is another: one that starts workers as processes, which Ray keeps for its own tests.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config

from mixstage.corpus.tables import Application, Corpus
from mixstage.embedding.vectors import Embedding
from mixstage.evaluation.grid import Grid
from mixstage.evaluation.rankings import Ranking
from mixstage.report.report import Report
from mixstage.selection.select import Choice
from mixstage.store.store import Artifact, Store

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]
ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
HEAD_TYPE, HEAD_ID = "ray.head.default", "f" * 51 + "00000"  # the provider's, which numbers its workers on from here
OBJECT_STORE = 150 << 20  # bytes a node
PLAN = {
    "name": "submitted",
    "corpora": {"statutes": {"source": "sample://statutes"}},
    "applications": {
        "counsel": {"corpus": "statutes", "source": "sample://counsel", "queries": {"dev": 20, "test": 20}}
    },
    "retriever": {"base": "hashing://64"},
    "reranker": {"base": "hashing://64"},
    "grid": {"depths": [20], "ranking_depth": 20, "measures": ["nDCG@10"]},
    "selection": {"bootstrap": 100},
}
WHERE = """
import jobs  # first, as in `python -m jobs.NAME`
from mixstage.connection import connect
import ray
connect()
def where():
    import mixstage
    return ray.get_runtime_context().get_node_id(), mixstage.__file__
for who, (node, file) in ("driver", where()), ("worker", ray.get(ray.remote(where).remote())):
    print(who, node, file)
"""


@dataclass(frozen=True, kw_only=True)
class Done:
    """What `ray job submit` ended with; `said` is its output, the job's log among it."""

    status: int
    said: str


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A head in a session of its own. `env` holds the token and the `python` of this test's environment."""

    head: subprocess.Popen[bytes]
    folder: Path
    port: int  # of the job server
    gcs: int
    env: dict[str, str]

    def submit(self, *entrypoint: str, **env: str) -> Done:
        """As the README says it, from the repository's root; `env` overrides."""
        done = _run([*self._job("submit"), "--working-dir", ".", "--", *entrypoint], self.env | env)
        assert self.head.poll() is None, self.log()
        return Done(status=done.returncode, said=done.stdout)

    def start(self, name: str, *entrypoint: str) -> None:
        """The same, for a job that does not end by itself; `stop` ends it."""
        options = ["--no-wait", "--submission-id", name, "--working-dir", "."]
        done = _run([*self._job("submit"), *options, "--", *entrypoint], self.env)
        assert done.returncode == 0, done.stdout

    def stop(self, name: str) -> str:
        """Returns what the job said."""
        _run([*self._job("stop"), name], self.env)
        return self.said(name)

    def said(self, name: str) -> str:
        """What a job has said until now."""
        return _run([*self._job("logs"), name], self.env).stdout

    def _job(self, action: str) -> list[str]:
        return [str(BIN / "ray"), "job", action, "--address", f"http://127.0.0.1:{self.port}"]

    def status(self) -> str:
        return _run([str(BIN / "ray"), "status", "--address", f"127.0.0.1:{self.gcs}"], self.env).stdout

    def log(self) -> str:
        return (self.folder / "head.log").read_text()

    def gets_up(self) -> bool:
        """Waits until it takes jobs; False if it ends before."""
        while self.head.poll() is None:
            if "Ray runtime started" in self.log() and self._answers():
                return True
            time.sleep(0.5)
        return False

    def _answers(self) -> bool:
        headers = {"Authorization": f"Bearer {self.env['RAY_AUTH_TOKEN']}"}
        request = Request(f"http://127.0.0.1:{self.port}/api/version", headers=headers)
        with suppress(OSError), urlopen(request, timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    def end(self) -> None:
        """Kills the session, and the drivers: they have sessions of their own, but hold the token."""
        assert_soon(self._kill, 30, lambda: f"processes are left: {self._left()}")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kill(self) -> bool:
        for pid in self._left():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.head.poll()
        return not self._left()

    def _left(self) -> list[int]:
        token = self.env["RAY_AUTH_TOKEN"].encode()
        return [int(path.name) for path in Path("/proc").glob("[0-9]*") if _belongs(path, self.head.pid, token)]


def _belongs(process: Path, session: int, token: bytes) -> bool:
    try:
        if process.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return False
        return os.getsid(int(process.name)) == session or token in process.joinpath("environ").read_bytes()
    except OSError:  # ended meanwhile, or somebody else's
        return False


def _run(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Output and errors in one string."""
    both = subprocess.STDOUT
    return subprocess.run(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=both, text=True, timeout=1000, check=False
    )


def assert_soon(ready: Callable[[], bool], seconds: float, tell: Callable[[], str]) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, tell()
        time.sleep(0.5)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    running = _start()
    try:
        for _ in range(2):  # Ray gives a node 30 s to start, which a loaded machine may miss
            if not running.gets_up():
                running.end()
                running = _start()
        assert running.gets_up(), running.log()
        yield running
    finally:
        running.end()


def _start() -> Cluster:
    gcs, port, worker_proxy, *others = _free_ports(7)
    folder = Path(tempfile.mkdtemp(prefix="ms-", dir="/tmp"))  # short: Ray's sockets lie in it, 107 bytes at most
    config = folder / "cluster.json"
    config.write_text(json.dumps(_on_this_machine(gcs)))
    names = [
        "dashboard-agent-listen-port",
        "dashboard-agent-grpc-port",
        "ray-client-server-port",
        "metrics-export-port",
    ]
    ports = [f"--{name}={number}" for name, number in zip(names, others, strict=True)]
    ports += [f"--port={gcs}", f"--dashboard-port={port}", "--min-worker-port=0", "--max-worker-port=0"]
    command = [str(BIN / "ray"), "start", "--head", "--block", "--num-cpus=0", "--disable-usage-stats", *ports]
    command += [f"--temp-dir={folder}", f"--autoscaling-config={config}", f"--object-store-memory={OBJECT_STORE}"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    env |= {"PATH": f"{BIN}:{env['PATH']}", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex}
    started = env | {
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",  # what `ray up` starts
        "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
        "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "300",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_SERVE_WORKER_PROXY_HTTP_PORT": str(worker_proxy),  # all nodes are this machine
    }
    with (folder / "head.log").open("w") as out:
        head = subprocess.Popen(command, env=started, stdout=out, stderr=out, start_new_session=True)
    return Cluster(head=head, folder=folder, port=port, gcs=gcs, env=env)


def _on_this_machine(gcs: int) -> dict[str, object]:
    """cluster.yaml with workers of 2 CPUs, started as processes, gone after 30 s without work."""
    config = prepare_config(yaml.safe_load((ROOT / "cluster.yaml").read_text()))
    types = config["available_node_types"]
    types[HEAD_TYPE] = types.pop(config["head_node_type"])
    for name, part in types.items():
        part["node_config"] = {}
        if name != HEAD_TYPE:
            part["resources"] |= {"CPU": 2, "object_store_memory": OBJECT_STORE}
    provider = {
        "type": "external",
        "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
        "gcs_address": f"127.0.0.1:{gcs}",
        "head_node_id": HEAD_ID,
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
        "launch_multiple": True,
    }
    changes = {"head_node_type": HEAD_TYPE, "provider": provider, "file_mounts": {}, "idle_timeout_minutes": 0.5}
    return config | changes


def _free_ports(count: int) -> list[int]:
    """Between the ports that Ray hands to its workers and those that the kernel hands to everyone."""
    found: set[int] = set()
    while len(found) < count:
        with socket.socket() as opened, suppress(OSError):
            opened.bind(("", random.randrange(20_000, 32_000)))
            found.add(opened.getsockname()[1])
    return list(found)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("plan") / "plan.yaml"
    path.write_text(yaml.safe_dump(PLAN))
    return str(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store that the jobs share: a second one takes up what the first one left."""
    return Store(str(tmp_path_factory.mktemp("store")))


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": "", "HOME": "/nowhere"}, "Missing authentication token"),
        ({"RAY_AUTH_TOKEN": "0" * 32}, "Invalid authentication token"),
    ],
    ids=["none", "wrong"],
)
def test_who_has_no_token_submits_nothing(cluster: Cluster, plan: str, env: dict[str, str], message: str) -> None:
    done = cluster.submit("python", "-m", "jobs.prepare", plan, **env)
    assert done.status != 0 and message in done.said and "submitted successfully" not in done.said


def test_a_bad_plan_fails_the_job_with_its_message_in_the_log(cluster: Cluster, plan: str, tmp_path: Path) -> None:
    overrides = ["--set", f"store={tmp_path}/store", "--set", "grid.depths=[500]"]
    done = cluster.submit("python", "-m", "jobs.prepare", plan, *overrides)
    assert done.status != 0 and "prepare: " in done.said
    assert "grid.depths.0: 500 is outside 1..20" in done.said and "Traceback" not in done.said
    assert not Path(tmp_path, "store").exists()


def test_a_submitted_job_leaves_its_artifacts_in_the_store(cluster: Cluster, plan: str, place: Store) -> None:
    done = cluster.submit("python", "-m", "jobs.prepare", plan, "--set", f"store={place.uri}")
    assert done.status == 0, done.said
    assert [corpus.meta["documents"] for corpus in place.all(Corpus)] == [450]
    assert len(list(place.all(Application))) == 1 and not list(place.all(Embedding))


def test_the_whole_pipeline_runs_on_workers_that_start_for_it(cluster: Cluster, plan: str, place: Store) -> None:
    done = cluster.submit("python", "-m", "jobs.pipeline", plan, "--set", f"store={place.uri}")
    assert done.status == 0, done.said
    kinds: tuple[type[Artifact], ...] = (Embedding, Ranking, Grid, Choice, Report)
    for kind in kinds:
        for artifact in place.all(kind):
            artifact.verify()
        assert any(place.all(kind)), kind
    [grid] = place.all(Grid)
    assert grid.meta["pairs"]["scored"] == grid.meta["pairs"]["union"] > 20  # (query, document), each by a worker
    assert "counsel: release 1 (promote)" in done.said and Path(place.uri, "registry.db").is_file()
    status = cluster.status()
    assert "cpu_worker" in status and "gpu_worker" not in status, status  # nobody asked for a GPU


def test_what_is_released_is_served_and_goes_on_when_its_operator_is_gone(
    cluster: Cluster, plan: str, place: Store
) -> None:
    [port] = _free_ports(1)
    overrides = ("--set", f"store={place.uri}", "--set", f"serving.port={port}")
    cluster.start("operator", "python", "-m", "serve.app", plan, *overrides)
    try:
        assert_soon(lambda: _search(port) == 200, 300, cluster.status)
        assert_soon(lambda: "Serving counsel at" in cluster.said("operator"), 60, cluster.status)  # a step later
    finally:
        said = cluster.stop("operator")
    assert "counsel: release 1 answers" in said and "Serving counsel at" in said
    for _ in range(10):
        assert _search(port) == 200
        time.sleep(1)
    ended = cluster.submit("python", "-c", "import ray; from ray import serve; ray.init(); serve.shutdown()")
    assert ended.status == 0, ended.said


def _search(port: int) -> int:
    """The status of a search, 0 without an answer."""
    body = json.dumps({"application": "counsel", "query": "deposit"}).encode()
    request = Request(f"http://127.0.0.1:{port}/v1/search", body, {"content-type": "application/json"})
    try:
        with urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_driver_and_workers_import_the_library_that_was_submitted(cluster: Cluster) -> None:
    done = cluster.submit("python", "-c", WHERE)
    assert done.status == 0, done.said
    found = {line.split()[0]: line.split()[1:] for line in done.said.splitlines() if line.strip()}
    (head, driver), (node, worker) = found["driver"], found["worker"]
    for file in (driver, worker):  # and not the one that is installed in this environment
        assert "/runtime_resources/" in file and not file.startswith(str(ROOT))
    assert head == HEAD_ID and node != head  # drivers on the head, work elsewhere


def test_workers_leave_when_there_is_nothing_to_do(cluster: Cluster) -> None:
    def is_empty() -> bool:
        running = cluster.status().partition("Pending:")[0]
        return "Active:" in running and "cpu_worker" not in running

    assert_soon(is_empty, 180, cluster.status)
