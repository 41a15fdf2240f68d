"""The ledger: each look at the same judgements halves alpha, others do not, and no look is noted twice."""

from mixstage.selection.verdict import Bounds, Ruling, Verdict, looks, take_look
from mixstage.store.store import Store


def kept(alpha: float) -> tuple[Verdict, str]:
    bounds = Bounds(mean=-0.2, low=-0.3, high=-0.1, queries=9, needed=None)
    return Verdict(word="KEEP", alpha=alpha, overall=bounds, applications={"a": bounds}), "KEEP it."


def look(store: Store, winner: str, **tests: str) -> Ruling:
    return take_look(store, tests, {"winner": winner}, 0.05, kept)


def test_each_further_look_at_the_same_test_data_has_half_the_alpha(store: Store) -> None:
    found = [look(store, winner, a="same") for winner in ("one", "two", "three")]
    assert [one.alpha for one in found] == [0.05, 0.025, 0.0125]
    assert [one.earlier for one in found] == [0, 1, 2]


def test_a_comparison_that_was_made_before_is_answered_and_not_counted(store: Store) -> None:
    first = look(store, "one", a="same")
    look(store, "two", a="same")
    assert look(store, "one", a="same") == first
    assert len(looks(store)) == 2
    assert look(store, "three", a="same").earlier == 2


def test_one_shared_application_is_enough_and_its_name_does_not_matter(store: Store) -> None:
    look(store, "one", a="x", b="y")
    assert look(store, "two", c="z").alpha == 0.05
    assert look(store, "three", renamed="y", c="w").alpha == 0.025
    assert look(store, "four", c="w", b="z").alpha == 0.0125  # two and three


def test_the_notes_say_what_was_decided_in_the_order_of_looking(store: Store) -> None:
    for winner in ("one", "two", *"abcdefghij"):
        look(store, winner, a="same")
    noted = looks(store)
    assert [one.recipe["number"] for one in noted] == list(range(12))
    assert [one.meta["earlier"] for one in noted] == list(range(12))
    assert noted[1].meta["word"] == "KEEP" and noted[1].meta["tests"] == ["same"]


def test_of_two_runs_at_once_one_comes_second(store: Store) -> None:
    """The other run publishes between our counting and our writing."""

    def interrupted(alpha: float) -> tuple[Verdict, str]:
        if not looks(store):
            look(store, "other", a="same")
        return kept(alpha)

    ours = take_look(store, {"a": "same"}, {"winner": "ours"}, 0.05, interrupted)
    assert (ours.earlier, ours.alpha) == (1, 0.025)
    assert len(looks(store)) == 2


def test_the_ledger_lives_in_any_store(memory_store: Store) -> None:
    assert [look(memory_store, winner, a="same").alpha for winner in ("one", "two", "one")] == [0.05, 0.025, 0.05]
