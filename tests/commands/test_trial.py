"""Trials by hand, on a registry that is there already: no pipeline, no Ray."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from mixstage.commands.release import main
from mixstage.composition import Composition
from mixstage.release.record import Note, Pin
from mixstage.release.registry import Registry
from mixstage.release.trials.observed import Observations
from mixstage.release.trials.tally import Tally, bucket
from tests.commands.typed import answer, refusal

OLD, NEW = "retriever:a@20 > none@10", "retriever:b@20 > none@10"


def pin(composition: str) -> Pin:
    return Pin(
        composition=Composition.parse(composition),
        corpus="c",
        generation=composition,
        retriever="r",
        reranker=None,
        report="p",
    )


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """counsel had NEW once and has OLD now; drafting has nothing."""
    (tmp_path / "store").mkdir()
    opened = Registry(f"sqlite:///{tmp_path}/store/registry.db")
    opened.promote("counsel", pin(NEW), Note(verdict="KEEP", author="ada"))
    opened.mark_answering(opened.promote("counsel", pin(OLD), Note(verdict="SHIP", author="ada")))
    return opened


@pytest.fixture
def plan(tmp_path: Path, registry: Registry) -> str:
    raw = {
        "name": "tried",
        "store": str(tmp_path / "store"),
        "corpora": {"statutes": {"source": "sample://statutes"}},
        "applications": {
            name: {"corpus": "statutes", "source": f"sample://{name}"} for name in ("counsel", "drafting")
        },
        "serving": {"trial": {"errors": 0.02, "hours": 6}},
    }
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(raw))
    return str(tmp_path / "plan.yaml")


def canary(plan: str, *more: str) -> tuple[str, ...]:
    return ("canary", plan, "--application", "counsel", "--pin-of", "1", *more)


@pytest.mark.parametrize("action", ["canary", "shadow", "interleave"])
def test_a_trial_keeps_who_why_share_and_verdict_and_ends_by_hand(
    action: str, plan: str, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    start = (action, plan, "--application", "counsel", "--pin-of", "1", "--share", "0.2")
    (row,) = answer(capsys, *start, "--who", "eve", "--why", "faster")
    assert (row["number"], row["action"], row["composition"], row["share"]) == (3, action, NEW, 0.2)
    assert (row["author"], row["reason"], row["verdict"]) == ("eve", "faster", "KEEP")
    assert registry.live()["counsel"].pin == pin(OLD)
    (row,) = answer(capsys, "end", plan, "--application", "counsel", "--why", "enough")
    assert (row["number"], row["action"], row["composition"], row["reason"]) == (4, "end", OLD, "enough")
    assert row["verdict"] == "SHIP"  # on what is live again
    assert "nothing is on trial for 'counsel'" in refusal(capsys, "end", plan, "--application", "counsel")


def test_a_running_trial_is_not_replaced_by_accident(plan: str, capsys: pytest.CaptureFixture[str]) -> None:
    answer(capsys, *canary(plan))
    assert f"canary 3 of {NEW} runs for 'counsel'" in refusal(capsys, *canary(plan))
    assert "--force needs --why" in refusal(capsys, *canary(plan, "--force"))
    (row,) = answer(capsys, *canary(plan, "--force", "--why", "a better one"))
    assert row["number"] == 4


def test_a_trial_that_was_never_released_is_no_proof_for_the_next(
    plan: str, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(capsys, "interleave", plan, "--application", "counsel", "--pin-of", "1")  # row 3, whose verdict is KEEP
    answer(capsys, "end", plan, "--application", "counsel")
    registry.mark_answering(registry.live()["counsel"])
    again = ("canary", plan, "--application", "counsel", "--pin-of", "3")
    assert "release 3 is a trial itself, and no test speaks for" in refusal(capsys, *again)
    (row,) = answer(capsys, *again, "--force", "--why", "all the same")
    assert (row["number"], row["composition"]) == (5, NEW)


@pytest.mark.parametrize("share", ["0", "-1", "1.5", "nan"])
def test_a_share_is_a_part(share: str, plan: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--share" in refusal(capsys, *canary(plan, f"--share={share}"))


def test_a_canary_on_everyone_needs_a_latency_of_its_own(plan: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "leaves no user to the live composition" in refusal(capsys, *canary(plan, "--share", "1"))
    (row,) = answer(capsys, *canary(plan, "--share", "1", "--set", "serving.trial.p95_ms=200"))
    assert row["share"] == 1


def test_what_is_not_there_is_refused(plan: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no release 9: it has 2" in refusal(capsys, *canary(plan)[:5], "9")
    assert "no application 'nobody'" in refusal(capsys, "canary", plan, "--application", "nobody", "--pin-of", "1")
    assert "served with" in refusal(capsys, *canary(plan)[:5], "2")
    assert "at release 2, not 1" in refusal(capsys, *canary(plan, "--seen", "1"))


def test_status_tells_a_trials_counts_evidence_and_what_follows(
    plan: str, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(capsys, "status", plan)["counsel"]["trial"] is None
    answer(capsys, *canary(plan))
    told = answer(capsys, "status", plan)
    assert (told["counsel"]["composition"], told["drafting"]) == (OLD, None)
    assert told["counsel"]["trial"]["answering"] is False
    registry.mark_answering(registry.history("counsel")[-1])
    tally = Tally(requests=9, errors=6, latencies=Counter({bucket(50): 3}))
    Observations(registry.engine).write("one", {("counsel", 3, "trial"): tally}, [])
    trial = answer(capsys, "status", plan)["counsel"]["trial"]
    assert (trial["action"], trial["composition"], trial["answering"]) == ("canary", NEW, True)
    assert (trial["trial"]["requests"], trial["trial"]["errors"], trial["live"]["requests"]) == (9, 6, 0)
    assert trial["trial"]["p95_ms"] == pytest.approx(50, rel=0.045)
    assert trial["decision"] == "roll back"  # whoever serves does it
    assert trial["told"][0].startswith("errors: 0.6667 (6 of 9), limit 0.02; evidence ")
    assert main(["status", plan]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"counsel: canary 3 of {NEW}, share 0.1: roll back errors: 0.6667 (6 of 9), limit 0.02" in out
