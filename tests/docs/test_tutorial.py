"""The tutorial, typed as it stands: its plan on a tiny model, its commands but for the process that serves."""

import shlex
from pathlib import Path

import pytest
import yaml

from mixstage.commands.console.main import main
from tests.docs.pages import ROOT, blocks

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
TUTORIAL = ROOT / "docs" / "tutorial.md"


def shrunk(text: str, model: Path) -> str:
    """The tutorial's plan with a tiny base, two steps a stage and the margins that random vectors need."""
    plan = yaml.safe_load(text)
    plan["retriever"] |= {"base": str(model), "max_length": 32}
    plan["reranker"]["max_length"] = 32
    for stage in plan["retriever"]["stages"].values():
        stage |= {"steps": 2, "batch_size": 8}
    plan["retriever"]["stages"]["refine"]["mine"] |= {"margin": 2.0, "hard_rank": 1}
    plan["resources"]["train"]["cpus"] = 1
    plan["selection"] = {"bootstrap": 100, "flips": 100}
    return yaml.safe_dump(plan)


def test_the_commands_of_the_tutorial_run_in_its_order(
    ray_cluster: None,
    tmp_path: Path,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (plan,) = blocks(TUTORIAL, "yaml")
    Path("first.yaml").write_text(shrunk(plan.text, tiny_model))
    lines = [line for block in blocks(TUTORIAL, "sh") for line in block.text.splitlines()]
    typed = [shlex.split(line)[1:] for line in lines if line.startswith("mixstage ") and "serve" not in line]
    assert [words[0] for words in typed] == ["pipeline", "release", "release", "release", "pipeline"]
    for words in typed:
        assert main(words) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert "Verdict" in shown or "KEEP" in shown
    assert "rollback" in shown
