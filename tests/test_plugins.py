"""Plug-ins: the files of docs/how-to/extend.md are found by name, and train a stage in two Ray workers."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mixstage.errors import PlanError
from mixstage.models.base import export_model
from mixstage.models.checkpoint import Checkpoint, open_encoder
from mixstage.plan.load import load_plan, parse_plan
from mixstage.plan.losses import LOSSES, find_loss
from mixstage.plan.schema import RetrieverPlan
from mixstage.plan.sources import SOURCES, find_source
from mixstage.plugins import find, source_digest
from mixstage.serve.compat.routers import FAMILIES, families
from mixstage.store.store import Store
from mixstage.training.artifacts import Samples
from tests.docs.pages import write_files

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "how-to" / "extend.md"
ENTRY_POINTS = """[mixstage.losses]
symmetric = mypackage.losses:SYMMETRIC
[mixstage.sources]
questions = mypackage.sources:QUESTIONS
[mixstage.generators]
twice = mypackage.generators:twice
"""
# A hundred more than its own: whoever sees the curve knows whose loss it is.
HUNDRED = """
from mixstage.plan.losses import Loss
from mypackage.losses import symmetric

def more(lesson):
    import torch

    class More(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = symmetric(lesson)

        def forward(self, features, labels):
            return 100 + self.inner(features, labels)

    return More()

HUNDRED = Loss(build={"bi_encoder": more}, in_batch=True)
"""
GENERATORS = """
def twice(title, text):
    return [title, title.upper()]

NUMBER = 3
"""


def write_package(folder: Path) -> None:
    """The package of the page, a file a block whose first line is its name, and what an installer would leave."""
    write_files(PAGE, folder)
    (folder / "mypackage" / "__init__.py").write_text("")
    (folder / "mypackage" / "hundred.py").write_text(HUNDRED)
    (folder / "mypackage" / "generators.py").write_text(GENERATORS)
    info = folder / "mypackage-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mypackage\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with the package of the page."""
    folder = tmp_path / "site"
    write_package(folder)
    monkeypatch.syspath_prepend(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == "mypackage"]:
        monkeypatch.delitem(sys.modules, name)
    return folder


def stage_plan(**stage: Any) -> dict[str, Any]:
    return {
        "name": "t",
        "corpora": {"statutes": {"source": "sample://statutes", "shard_kib": 400}},
        "applications": {"drafting": {"corpus": "statutes", "source": "sample://drafting"}},
        "retriever": {"stages": {"broad": stage}},
    }


@pytest.mark.parametrize("name", ["mypackage.losses:SYMMETRIC", "symmetric"])
def test_a_loss_is_found_by_its_place_and_by_its_entry_point(package: Path, name: str) -> None:
    parse_plan(stage_plan(loss={"name": name}))
    assert find_loss(name).in_batch
    assert list(find_loss(name).build) == ["bi_encoder"]


@pytest.mark.parametrize("name", ["mypackage.sources:QUESTIONS", "questions"])
def test_a_source_is_found_by_its_place_and_by_its_entry_point(package: Path, name: str) -> None:
    parse_plan(stage_plan(samples={name: 1, "judged": 1}))
    assert not find_source(name).titled


@pytest.mark.parametrize(
    ("stage", "problem"),
    [
        (
            {"loss": {"name": "symetric"}},
            r"loss\.name: no 'symetric'; .*; did you mean symmetric\?; one of your own is",
        ),
        ({"loss": {"name": "mypackage.losses:GONE"}}, r"loss\.name: 'mypackage\.losses:GONE' of losses can't be imp"),
        ({"loss": {"name": "mypackage.losses:symmetric"}}, r"loss\.name: mypackage\.losses:symmetric is of type funct"),
        ({"loss": {"name": "symmetric", "cached": 4}}, r"loss\.cached: only infonce has it, not symmetric"),
        ({"samples": {"mypackage.losses:SYMMETRIC": 1}}, r"SYMMETRIC is of type Loss, and one of sources is a "),
        ({"samples": {"qestions": 1}}, r"samples\.qestions: no 'qestions'; .*; did you mean questions\?"),
        ({"samples": {"questions": 1}, "mine": {}}, r"mine: none of the samples is mined"),
        (
            {"samples": {"questions": 1, "mined": 1}, "mine": {}, "loss": {"name": "kl", "teacher": "reranker:base"}},
            r"samples: kl reads mined samples only, not questions",
        ),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_plug_in_is_a_problem_of_the_plan(
    package: Path, stage: dict[str, Any], problem: str
) -> None:
    with pytest.raises(PlanError, match=problem):
        parse_plan(stage_plan(**stage))


def test_a_loss_of_a_retriever_does_not_train_a_reranker(package: Path) -> None:
    raw = stage_plan() | {"reranker": {"stages": {"s": {"mine": {"miners": ["bm25"]}, "loss": {"name": "symmetric"}}}}}
    with pytest.raises(
        PlanError, match=r"loss\.name: 'symmetric' does not train a cross-encoder; there are bce, listwise"
    ):
        parse_plan(raw)


def test_a_generator_is_found_like_the_others(package: Path) -> None:
    table: dict[str, Any] = {}
    assert find("generators", "twice", table)("Rent", "is due") == ["Rent", "RENT"]
    with pytest.raises(PlanError, match=r"generators:NUMBER is of type int, and one of generators is a function"):
        find("generators", "mypackage.generators:NUMBER", table)


def test_the_digest_of_a_source_follows_its_folder_and_nothing_else(package: Path) -> None:
    name = "mypackage.losses:SYMMETRIC"
    first = source_digest(name)
    (package / "other.py").write_text("x = 1\n")
    assert source_digest(name) == first, "a module beside the package is none of its own"
    (package / "mypackage" / "sources.py").write_text("x = 1\n")
    second = source_digest(name)
    assert second != first, "a neighbour that it may lean on"
    assert source_digest("mypackage.losses:OTHER") != second, "two rows of a file are two"
    single = source_digest("other:x")
    (package / "third.py").write_text("y = 1\n")
    assert source_digest("other:x") == single
    (package / "other.py").write_text("x = 2\n")
    assert source_digest("other:x") != single


def test_a_retriever_of_ones_own_is_a_checkpoint_like_every_other(package: Path, store: Store) -> None:
    part = RetrieverPlan(base="mypackage.retrievers:Letters")
    checkpoint = export_model(part, store, 0, stage="base")
    encoder = open_encoder(checkpoint)
    vectors = encoder.encode(["abba", "B", "..."], "query")
    expected = [[0.5**0.5, 0.5**0.5], [0.0, 1.0], [0.0, 0.0]]
    np.testing.assert_allclose(vectors[:, :2], expected, atol=1e-6)
    assert export_model(part, store, 0, stage="base").digest == checkpoint.digest
    (package / "mypackage" / "retrievers.py").write_text((package / "mypackage" / "retrievers.py").read_text() + "\n")
    assert export_model(part, store, 0, stage="base").digest != checkpoint.digest, "its source is part of it"


def test_a_family_of_endpoints_is_found_beside_those_that_ship(package: Path) -> None:
    assert set(families(["mypackage.endpoints:TITLES"])) - set(FAMILIES) == {"mypackage.endpoints:TITLES"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_loss_and_a_source_from_outside_train_a_stage_in_two_workers(tmp_path: Path, tiny_model: Path) -> None:
    folder = tmp_path / "site"
    write_package(folder)
    common = {"steps": 2, "batch_size": 8}
    stages = {
        "by_place": {
            "samples": {"judged": 0.5, "mypackage.sources:QUESTIONS": 0.5},
            "loss": {"name": "mypackage.hundred:HUNDRED"},
            "resources": {"workers": 2, "cpus": 1},
            **common,
        },
        "by_entry_point": {
            "from": "by_place",
            "samples": {"questions": 1, "generated": 1},
            "generator": "twice",
            "loss": {"name": "symmetric"},
            "resources": {"workers": 1, "cpus": 1},
            **common,
        },
    }
    raw = stage_plan() | {"store": str(tmp_path / "store"), "reranker": {"base": "hashing://64"}}
    raw |= {"retriever": {"base": str(tiny_model), "max_length": 48, "stages": stages}}
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(raw))
    train(path, folder)
    trained = checkpoints(path)
    assert set(trained) == {"base", "by_place", "by_entry_point"}
    store = Store(str(tmp_path / "store"))
    assert all(point["loss"] > 100 for point in trained["by_place"].curve), "the loss is the one from outside"
    assert all(point["loss"] < 100 for point in trained["by_entry_point"].curve)
    assert sources(store, trained["by_place"]) == {"judged:drafting", "mypackage.sources:QUESTIONS:statutes"}
    assert sources(store, trained["by_entry_point"]) == {"questions:statutes", "generated:statutes"}
    assert set(trained["by_place"].recipe["plugins"]) == {"mypackage.hundred:HUNDRED"}
    samples = store.get(Samples, str(trained["by_entry_point"].samples))
    assert set(samples.recipe["plugins"]) == {"questions", "twice"}

    before = {checkpoint.digest for checkpoint in store.all(Checkpoint)}
    (folder / "mypackage" / "losses.py").write_text((folder / "mypackage" / "losses.py").read_text() + "\n# edited\n")
    train(path, folder)
    again = {checkpoint.digest for checkpoint in store.all(Checkpoint)} - before
    assert len(again) == 2, "both stages are trained again, the bases are found"


def train(path: Path, folder: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), str(ROOT / "lib"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "jobs.train", str(path)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]


def checkpoints(path: Path) -> dict[str, Checkpoint]:
    """Stage of the retriever -> its checkpoint."""
    raw = yaml.safe_load(path.read_text())
    store = Store(raw["store"])
    known = store.all(Checkpoint)
    return {checkpoint.stage: checkpoint for checkpoint in known if checkpoint.meta["component"] == "retriever"}


def sources(store: Store, checkpoint: Checkpoint) -> set[str]:
    assert checkpoint.samples is not None
    return set(store.get(Samples, checkpoint.samples).sources)


def test_rows_of_the_tables_name_functions_that_there_are() -> None:
    for loss in LOSSES.values():
        for part in (*loss.build.values(), loss.rows):
            assert callable(part.load())  # type: ignore[attr-defined]
    for source in SOURCES.values():
        assert callable(source.gather.load())  # type: ignore[attr-defined]
        assert source.pairs is None or callable(source.pairs.load())  # type: ignore[attr-defined]


def test_a_shipped_plan_is_read_without_model_code() -> None:
    script = (
        "import sys; from mixstage.plan.load import load_plan; load_plan(sys.argv[1]); "
        "print([name for name in ('torch', 'ray', 'transformers') if name in sys.modules])"
    )
    plan = ROOT / "jobs" / "plans" / "two_phase.yaml"
    assert load_plan(plan).name
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "lib")}
    done = subprocess.run(
        [sys.executable, "-c", script, str(plan)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
