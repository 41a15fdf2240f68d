"""The release job on a registry that is there already: no pipeline, no Ray."""

from pathlib import Path

import pytest
import yaml

from mixstage.commands.release import main
from mixstage.composition import Composition
from mixstage.release.record import Note, Pin
from mixstage.release.registry import Registry
from tests.commands.typed import answer, refusal

OLD, NEW = "retriever:a@20 > 0.5*reranker:x@10", "retriever:b@60 > reranker:y@10"


def pin(composition: str, retriever: str, reranker: str) -> Pin:
    return Pin(
        composition=Composition.parse(composition),
        corpus="c",
        generation=f"g-{retriever}",
        retriever=retriever,
        reranker=reranker,
        report="r",
    )


@pytest.fixture
def plan(tmp_path: Path) -> str:
    """A plan whose registry knows two releases of counsel and none of drafting."""
    (tmp_path / "store").mkdir()
    registry = Registry(f"sqlite:///{tmp_path}/store/registry.db")
    registry.promote("counsel", pin(OLD, "a", "x"), Note(verdict="SHIP", author="ada", reason="first"))
    registry.promote("counsel", pin(NEW, "b", "y"), Note(author="bob", reason="forced"))
    raw = {
        "name": "released",
        "store": str(tmp_path / "store"),
        "corpora": {"statutes": {"source": "sample://statutes"}},
        "applications": {
            name: {"corpus": "statutes", "source": f"sample://{name}"} for name in ("counsel", "drafting")
        },
        "retriever": {"base": "hashing://256"},
        "reranker": {"base": "hashing://256"},
    }
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(raw))
    return str(tmp_path / "plan.yaml")


def test_status_tells_the_live_release_of_every_application(plan: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = answer(capsys, "status", plan)
    assert (told["counsel"]["number"], told["counsel"]["composition"], told["counsel"]["depth"]) == (2, NEW, 60)
    assert told["drafting"] is None
    assert main(["status", plan]) == 0
    assert "none yet" in capsys.readouterr().out


def test_history_tells_all_newest_first_and_who_and_why(plan: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = answer(capsys, "history", plan)
    assert [(row["number"], row["author"], row["reason"]) for row in told] == [
        (2, "bob", "forced"),
        (1, "ada", "first"),
    ]
    assert answer(capsys, "history", plan, "--application", "drafting") == []


def test_diff_tells_what_changed_and_nothing_else(plan: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = answer(capsys, "diff", plan, "--application", "counsel")
    assert (told["old"], told["new"]) == (1, 2)
    assert told["changed"]["retriever"] == {"old": "a", "new": "b"}
    assert told["changed"]["mix"] == {"old": 0.5, "new": 1.0}
    assert "corpus" not in told["changed"] and "k" not in told["changed"]
    assert "no release 7" in refusal(capsys, "diff", plan, "--application", "counsel", "--new", "7")
    assert "has no release" in refusal(capsys, "diff", plan, "--application", "drafting")


def test_rolling_one_component_back_keeps_who_and_why(plan: str, capsys: pytest.CaptureFixture[str]) -> None:
    back = ("rollback", plan, "--application", "counsel", "--component", "reranker")
    (told,) = answer(capsys, *back, "--who", "eve", "--why", "too slow")
    assert told["composition"] == "retriever:b@60 > 0.5*reranker:x@10"
    assert (told["action"], told["author"], told["reason"]) == ("rollback reranker", "eve", "too slow")
    assert "no earlier reranker" in refusal(capsys, *back)
    assert "at release 3, not 2" in refusal(capsys, *back[:4], "--seen", "2")


def test_force_without_a_reason_is_refused_before_any_work(plan: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--force needs --why" in refusal(capsys, "promote", plan, "--force", "--why", "  ")


def test_an_unknown_application_is_refused_before_any_phase_runs(plan: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no application 'nobody': nearest first, there are" in refusal(
        capsys, "promote", plan, "--application", "nobody"
    )
    assert {path.name for path in (Path(plan).parent / "store").iterdir()} == {"registry.db"}
