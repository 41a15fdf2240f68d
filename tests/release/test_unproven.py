"""What a report lets be released."""

from typing import get_args

import pytest

from mixstage.composition import Composition
from mixstage.errors import ReleaseError
from mixstage.release.pins import refuse_unproven, verdict_on
from mixstage.selection.choose import Decision
from mixstage.selection.verdict import Ruling, Word

WINNER, INCUMBENT, OTHER = map(
    Composition.parse, ("retriever:a@20 > none@10", "retriever:base@100 > none@10", "bm25@20 > none@10")
)


CHOICE = Decision(
    winner=WINNER,
    best=WINNER,
    near=(WINNER,),
    critical=2.0,
    incumbent=INCUMBENT,
    uniform=None,
    base=None,
    bm25=OTHER,
    per_application={},
    eligible=3,
    over_budget=0,
    regressing=0,
    reason="highest",
)


def ruling(word: Word) -> Ruling:
    return Ruling(word=word, sentence=f"{word} {WINNER}: +.01 [-.01, +.03]")


def test_a_winner_that_ships_and_the_incumbent_pass() -> None:
    refuse_unproven(CHOICE, ruling("SHIP"), WINNER)
    for word in get_args(Word):
        refuse_unproven(CHOICE, ruling(word), INCUMBENT)


@pytest.mark.parametrize("word", ["KEEP", "INCONCLUSIVE"])
def test_a_winner_that_does_not_ship_is_refused_with_its_verdict(word: Word) -> None:
    with pytest.raises(ReleaseError, match=rf"(?s)not proven.*{word} .*--force --why"):
        refuse_unproven(CHOICE, ruling(word), WINNER)


def test_a_composition_that_was_not_tested_is_refused_even_beside_a_ship() -> None:
    with pytest.raises(ReleaseError, match=r"(?s)no test compared it.*--force --why"):
        refuse_unproven(CHOICE, ruling("SHIP"), OTHER)


def test_the_verdict_belongs_to_the_two_that_were_compared() -> None:
    told = [verdict_on(CHOICE, ruling("KEEP"), name) for name in (WINNER, INCUMBENT, OTHER)]
    assert told == ["KEEP", "KEEP", None]
