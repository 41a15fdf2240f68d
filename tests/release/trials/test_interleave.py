"""Team-draft interleaving, by hand and in the mean."""

from collections import Counter

from mixstage.release.trials.interleave import preferred, team_draft


def first_coin(seed: str) -> str:
    """Who wins the first coin of a seed."""
    team = team_draft(["a"], ["b"], 1, seed)[0][1]
    assert team is not None
    return team


def seed_for(team: str) -> str:
    return next(str(n) for n in range(99) if first_coin(str(n)) == team)


def test_the_winner_of_the_coin_picks_first_then_the_other_its_best_that_is_left() -> None:
    live, trial = ["a", "b", "c"], ["b", "a", "d"]
    assert team_draft(live, trial, 2, seed_for("live")) == [("a", "live"), ("b", "trial")]
    assert team_draft(live, trial, 2, seed_for("trial")) == [("b", "trial"), ("a", "live")]
    third, team = team_draft(live, trial, 3, seed_for("live"))[2]
    assert (third, team) in {("c", "live"), ("d", "trial")}  # a coin again


def test_a_document_of_both_goes_to_who_picks_it_and_stands_once() -> None:
    drafted = team_draft(["a", "b", "c", "d"], ["a", "b", "c", "d"], 4, "x")
    assert [document for document, _ in drafted] == ["a", "b", "c", "d"]
    assert Counter(team for _, team in drafted) == {"live": 2, "trial": 2}


def test_once_a_side_is_exhausted_the_rest_of_the_other_counts_for_nobody() -> None:
    drafted = team_draft(["a"], ["b", "c", "d"], 10, seed_for("live"))
    assert drafted == [("a", "live"), ("b", None), ("c", None), ("d", None)]
    assert team_draft([], [], 10, "x") == []


def test_the_same_request_sees_the_same_list_again() -> None:
    live, trial = [f"a{i}" for i in range(9)], [f"b{i}" for i in range(9)]
    assert team_draft(live, trial, 9, "request-1") == team_draft(live, trial, 9, "request-1")
    assert len({tuple(team_draft(live, trial, 9, f"request-{i}")) for i in range(50)}) > 10


def test_a_user_who_clicks_by_position_prefers_neither_side() -> None:
    """Always the first hit: whatever stands there, half of the queries go to each side (binomial, sd 16 of 1,000)."""
    wins = Counter()
    for n in range(1000):
        drafted = team_draft(["a", "b", "c"], ["c", "d", "e"], 3, f"request {n}")
        wins[preferred(drafted, {drafted[0][0]})] += 1
    assert wins["live"] + wins["trial"] == 1000
    assert abs(wins["live"] - 500) < 60


def test_the_side_with_more_clicked_documents_is_preferred() -> None:
    drafted = [("a", "live"), ("b", "trial"), ("c", "trial"), ("d", None)]
    assert preferred(drafted, {"a", "b", "c"}) == "trial"
    assert preferred(drafted, {"a"}) == "live"
    assert preferred(drafted, {"a", "c"}) is None
    assert preferred(drafted, {"d", "elsewhere"}) is None
