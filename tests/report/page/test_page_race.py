"""The page's table of a race."""

import re

from mixstage.evaluation.race import RaceNotes, RaceRound
from mixstage.report.page.page import race_part

ROUNDS = [
    RaceRound(n=100, compositions=400, rerankers=10, pairs=120_000, pairs_scored=119_000),
    RaceRound(n=2700, compositions=14, rerankers=1, pairs=5_000, pairs_scored=0),
]


def test_a_grid_without_a_race_has_no_part() -> None:
    assert race_part(None) == ""


def test_rounds_and_what_they_saved() -> None:
    page = race_part(RaceNotes(rounds=ROUNDS, dropped=386, saved=0.637))
    rows = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in page.split("<tr>")]
    assert [row for row in rows if row] == [
        ["1", "100", "400", "10", "120,000", "119,000"],
        ["2", "2,700", "14", "1", "5,000", "0"],
    ]
    assert "386 compositions" in page and "64% of all pairs" in page
