"""What a report lets be released."""

from typing import Any

import pytest

from mixstage.composition import Composition
from mixstage.errors import ReleaseError
from mixstage.release.pins import refuse_unproven, verdict_on

WINNER, INCUMBENT, OTHER = map(
    Composition.parse, ("retriever:a@20 > none@10", "retriever:base@100 > none@10", "bm25@20 > none@10")
)


def report(word: str) -> dict[str, Any]:
    told = {"word": word, "sentence": f"{word} {WINNER}: +.01 [-.01, +.03]"}
    return {"choice": {"winner": str(WINNER), "rivals": {"incumbent": str(INCUMBENT)}}, "verdict": told}


def test_a_winner_that_ships_and_the_incumbent_pass() -> None:
    refuse_unproven(report("SHIP"), WINNER)
    for word in ("SHIP", "KEEP", "INCONCLUSIVE"):
        refuse_unproven(report(word), INCUMBENT)


@pytest.mark.parametrize("word", ["KEEP", "INCONCLUSIVE"])
def test_a_winner_that_does_not_ship_is_refused_with_its_verdict(word: str) -> None:
    with pytest.raises(ReleaseError, match=rf"(?s)not proven.*{word} .*--force --why"):
        refuse_unproven(report(word), WINNER)


def test_a_composition_that_was_not_tested_is_refused_even_beside_a_ship() -> None:
    with pytest.raises(ReleaseError, match=r"(?s)no test compared it.*--force --why"):
        refuse_unproven(report("SHIP"), OTHER)


def test_the_verdict_belongs_to_the_two_that_were_compared() -> None:
    told = [verdict_on(report("KEEP"), name) for name in (WINNER, INCUMBENT, OTHER)]
    assert told == ["KEEP", "KEEP", None]
