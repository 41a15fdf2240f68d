"""`import mixstage`: light, lazy, complete for type checkers, and documented by calls that work."""

import ast
import doctest
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mixstage

SOURCE = Path(mixstage.__file__)
HEAVY = ("faiss", "httpx2", "numpy", "polars", "pyarrow", "pydantic", "ray", "torch", "yaml")
LIGHT_S = 0.1  # CPU seconds, a tenth of them on a quiet machine
PLAN = """
name: mine
corpora:
  statutes: {source: "sample://statutes"}
applications:
  counsel: {corpus: statutes, source: "sample://counsel"}
"""
GIVEN = {"Answer", "Checkpoint", "Hit", "Plan"}  # by mixstage: a user reads them, and calls none of them
CALLABLE = [name for name in mixstage.__all__ if not name.endswith("Error") and name not in GIVEN]


def after(code: str) -> dict[str, Any]:
    """What a fresh process says: the heavy packages that it holds after this code, and the CPU seconds of it."""
    probe = f"""
import json, sys, time
start = time.process_time()
{code}
seconds = time.process_time() - start
print(json.dumps({{"heavy": [name for name in {HEAVY} if name in sys.modules], "seconds": seconds}}))
"""
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(SOURCE.parents[1])}
    done = subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def test_importing_mixstage_is_light() -> None:
    told = after("import mixstage")
    assert told["heavy"] == [] and told["seconds"] < LIGHT_S


@pytest.mark.parametrize(
    ("name", "heavy"),
    [
        ("MixstageError", []),
        ("Composition", []),
        ("Client", ["httpx2"]),
        ("measure", ["numpy"]),
        ("load_plan", ["pydantic", "yaml"]),
    ],
)
def test_a_name_loads_what_it_needs_and_no_more(name: str, heavy: list[str]) -> None:
    assert set(after(f"from mixstage import {name}")["heavy"]) <= {*heavy, "numpy"}


def test_every_name_is_there() -> None:
    assert {*mixstage.__all__} <= {*dir(mixstage)}
    for name in mixstage.__all__:
        assert getattr(mixstage, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error_that_lists_the_names() -> None:
    with pytest.raises(AttributeError, match=r"'mixstage' has no attribute 'Pipelin': it has .*Pipeline"):
        mixstage.Pipelin  # type: ignore[attr-defined]  # noqa: B018
    assert not hasattr(mixstage, "anything")


def test_type_checkers_see_the_names_that_there_are_from_where_they_are() -> None:
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    imported = {
        alias.name: node.module
        for branch in tree.body
        if isinstance(branch, ast.If)
        for node in branch.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == mixstage._ROOM_OF
    assert sorted(imported) == sorted(mixstage.__all__)


@pytest.mark.parametrize("name", CALLABLE)
def test_docstrings_show_a_call_that_works(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plan.yaml").write_text(PLAN)
    public = getattr(mixstage, name)
    names = {each: getattr(mixstage, each) for each in mixstage.__all__}
    text = inspect.getdoc(public) or ""
    test = doctest.DocTestParser().get_doctest(text, names, name, None, None)
    assert test.examples, f"{name} shows no call"
    assert doctest.DocTestRunner(verbose=False).run(test).failed == 0
