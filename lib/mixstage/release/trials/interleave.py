"""Team-draft interleaving: one list from two, and which of them a user's clicks prefer.

Radlinski, Kurup & Joachims 2008, "How does clickthrough data reflect retrieval quality?", section 4.2: like captains of
two teams, the rankings pick their best document that is left, and a coin says who begins each round. What is clicked
counts for the team that brought it: a list that is no better wins half of the queries, whatever positions do to clicks.
"""

import random
from collections.abc import Collection, Sequence
from typing import Literal

Team = Literal["live", "trial"]
Drafted = tuple[str, Team | None]  # a document and who picked it


def team_draft(live: Sequence[str], trial: Sequence[str], k: int, seed: str) -> list[Drafted]:
    """The first k documents of both rankings, drafted; the same seed throws the same coins.

    Once one side has nothing left to pick the other one's documents follow, for no team: they had no rival.
    """
    coin = random.Random(seed)
    rankings: dict[Team, Sequence[str]] = {"live": live, "trial": trial}
    picked: dict[str, Team | None] = {}
    while len(picked) < k:
        left: dict[Team, str] = {}
        for team, ranking in rankings.items():
            best = next((document for document in ranking if document not in picked), None)
            if best is not None:
                left[team] = best
        if len(left) < 2:
            picked |= dict.fromkeys(left.values())
            if not left:
                break
            continue
        team = _turn(picked.values(), coin)
        picked[left[team]] = team
    return list(picked.items())


def _turn(picks: Collection[Team | None], coin: random.Random) -> Team:
    """Who picks next: the smaller team, else what the coin says."""
    lead = sum(team == "live" for team in picks) - sum(team == "trial" for team in picks)
    if lead:
        return "trial" if lead > 0 else "live"
    return "live" if coin.random() < 0.5 else "trial"


def preferred(drafted: Sequence[Drafted], clicked: Collection[str]) -> Team | None:
    """The team with more of the clicked documents; None if they have equally many."""
    lead = sum(1 if team == "trial" else -1 for document, team in drafted if team and document in clicked)
    if lead == 0:
        return None
    return "trial" if lead > 0 else "live"
