"""What pip installs: in an empty environment and an empty folder the wheel runs a plan and serves it."""

import json
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.request import Request, urlopen
from zipfile import ZipFile

import pytest

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
ROOT = Path(__file__).resolve().parent.parent
LIGHT = ROOT / "packaging" / "light"
# Seen by every process of the light environment, which borrows its packages: what light does not require is not there.
REFUSE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""
IMPORTED = {"faiss-cpu": "faiss", "PyYAML": "yaml", "SQLAlchemy": "sqlalchemy", "PyStemmer": "Stemmer"}
SMOKE = [
    "retriever={base: 'hashing://64'}",
    "reranker={base: 'hashing://64'}",
    "grid={depths: [10], ranking_depth: 20, measures: ['nDCG@10']}",
    "selection={bootstrap: 100, incumbent: 'bm25@10 > none@10'}",
    "resources={train: {cpus: 1}, embed: {workers: 1}, score: {workers: 1}}",
]


def requirements(project: Path) -> set[str]:
    """Names of what a distribution requires, without extras and versions."""
    listed = tomllib.loads(project.read_text())["project"]["dependencies"]
    return {name.split(">")[0].split("[")[0] for name in listed}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both distributions, built from a copy, for building leaves folders behind."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("lib", "packaging"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", "dist", ".", "./packaging/light"], cwd=copy, check=True, timeout=300)
    return {path.name.split("-")[0]: path for path in (copy / "dist").glob("*.whl")}


def install(wheel: Path, folder: Path) -> Path:
    """A new environment that holds this wheel alone and finds every other package in the test's own; its bin folder."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=300)
    python = folder / "bin" / "python"
    command = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(command, check=True, timeout=300)
    packages = subprocess.check_output([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
    Path(packages.decode().strip(), "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin"


def run(binary: Path, *arguments: str, cwd: Path, seconds: float = 600) -> str:
    env = {"PATH": f"{binary}:/usr/bin:/bin", "HOME": str(cwd)}
    done = subprocess.run(
        [str(binary / arguments[0]), *arguments[1:]],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def test_the_wheel_holds_every_file_of_the_library_and_nothing_beside_it(wheels: dict[str, Path]) -> None:
    listed = subprocess.check_output(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "lib/mixstage"], cwd=ROOT, text=True
    ).split("\n")
    library = {name.removeprefix("lib/") for name in listed if name}
    names = {name for name in ZipFile(wheels["mixstage"]).namelist() if ".dist-info/" not in name}
    assert names == library


@pytest.fixture(scope="module")
def binary(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(wheels["mixstage"], tmp_path_factory.mktemp("whole") / "env")


def test_in_an_empty_folder_the_sample_plan_runs_to_its_end_and_is_served(
    binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("w")
    where = run(binary, "python", "-c", "import mixstage; print(mixstage.__file__)", cwd=folder)
    assert where.startswith(str(binary.parent / "lib"))
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port = opened.getsockname()[1]
    overrides = [part for override in (*SMOKE, f"serving.port={port}") for part in ("--set", override)]
    printed = run(binary, "mixstage", "pipeline", "sample", *overrides, cwd=folder)
    assert "Winner: " in printed and "counsel: release 1 (promote)" in printed
    assert printed.splitlines()[-1].startswith("Serve it: mixstage serve sample --set ")
    assert {path.name for path in folder.iterdir()} - {".ray", ".cache"} == {".mixstage"}
    with served([str(binary / "mixstage"), "serve", "sample", *overrides], folder) as log:
        body = json.dumps({"application": "counsel", "query": "who pays for broken heating", "k": 3}).encode()
        request = Request(f"http://127.0.0.1:{port}/v1/search", body, {"content-type": "application/json"})
        deadline = time.monotonic() + 300
        while (answer := ask(request)) is None:
            assert time.monotonic() < deadline, Path(log.name).read_text()[-3000:]
            time.sleep(1)
        assert len(answer["hits"]) == 3


def ask(request: Request) -> dict[str, list[object]] | None:
    """The answer as JSON; None while nobody answers."""
    try:
        with urlopen(request, timeout=30) as response:
            return dict(json.load(response))
    except (URLError, OSError):
        return None


@contextmanager
def served(command: list[str], folder: Path) -> Iterator[IO[str]]:
    """A command that runs meanwhile, and is interrupted at the end; yields its log."""
    env = {"PATH": f"{Path(command[0]).parent}:/usr/bin:/bin", "HOME": str(folder)}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)
        try:
            yield log
        finally:
            process.terminate()
            process.wait(timeout=60)


def test_light_requires_neither_torch_nor_ray_and_nothing_that_the_whole_does_not() -> None:
    light, whole = requirements(LIGHT / "pyproject.toml"), requirements(ROOT / "pyproject.toml")
    assert light < whole and {"torch", "ray", "sentence-transformers"} <= whole - light
    versions = {tomllib.loads(path.read_text())["project"]["version"] for path in (ROOT / "pyproject.toml",)}
    assert versions == {tomllib.loads((LIGHT / "pyproject.toml").read_text())["project"]["version"]}


def test_light_asks_a_gateway_and_measures_rankings(
    wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("light")
    binary = install(wheels["mixstage_light"], folder / "env")
    absent = {IMPORTED.get(name, name.replace("-", "_")) for name in requirements(ROOT / "pyproject.toml")}
    absent -= {name.replace("-", "_") for name in requirements(LIGHT / "pyproject.toml")}
    packages = next((folder / "env").glob("lib/python*/site-packages"))
    (packages / "absent.py").write_text(REFUSE.format(names=absent))
    (packages / "absent.pth").write_text("import absent")
    (folder / "qrels").write_text("q1 0 a 1\n")
    (folder / "run").write_text("q1 Q0 b 1 2 t\nq1 Q0 a 2 1 t\n")
    script = "from mixstage.client import Client; from mixstage import measure; print(Client('http://x'), measure)"
    assert "Client" in run(binary, "python", "-c", script, cwd=folder)
    options = ["measure", "--qrels", "qrels", "--run", "run", "--measures", "RR@10"]
    assert json.loads(run(binary, "mixstage", *options, cwd=folder))["mean"] == {"RR@10": 0.5}
    compared = ["measure", "--qrels", "qrels", "--run", "run", "run", "--measures", "RR@10"]
    assert "wins : losses" in run(binary, "mixstage", *compared, cwd=folder)
    done = subprocess.run(
        [str(binary / "mixstage"), "train", "sample"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("mixstage: `mixstage train` needs ") and "pip install mixstage" in done.stderr
