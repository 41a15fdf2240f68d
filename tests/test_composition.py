"""A composition's name is its identity: printed, read back, refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixstage.composition import UNSCORED, Composition
from mixstage.errors import PlanError
from mixstage.plan.checks import RESERVED

STAGES = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,12}\Z").filter(lambda name: name not in RESERVED)
COUNTS = st.integers(1, 10**6)


@st.composite
def compositions(draw: st.DrawFn) -> Composition:
    """Everything a plan's grid can hold: a weight belongs to a reranker only."""
    reranker = draw(STAGES | st.sampled_from(["base", "none", "oracle"]))
    # numbers that a person writes into a plan; `grid.mix` is open between 0 and 1
    weight = st.integers(1, 9999).map(lambda n: n / 10_000) | st.just(1.0)
    return Composition(
        retriever=draw(STAGES | st.sampled_from(["base", "bm25"])),
        depth=draw(COUNTS),
        reranker=reranker,
        mix=1.0 if reranker in UNSCORED else draw(weight),
        k=draw(COUNTS),
    )


@given(compositions())
def test_a_printed_composition_reads_back_as_itself(composition: Composition) -> None:
    assert Composition.parse(str(composition)) == composition


@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_any_weight_that_a_plan_accepts_reads_back_as_itself(mix: float) -> None:
    composition = Composition(retriever="base", depth=20, reranker="refine", mix=mix)
    assert Composition.parse(str(composition)) == composition


@given(compositions(), compositions())
def test_different_compositions_have_different_names(one: Composition, other: Composition) -> None:
    assert (one == other) == (str(one) == str(other))


def test_names_look_as_the_documents_say() -> None:
    mixed = Composition(retriever="robust", depth=60, reranker="refine", mix=0.5)
    assert str(mixed) == "retriever:robust@60 > 0.5*reranker:refine@10"
    assert str(Composition(retriever="bm25", depth=100, reranker="base", k=5)) == "bm25@100 > reranker:base@5"
    assert str(Composition(retriever="base", depth=20, reranker="none")) == "retriever:base@20 > none@10"
    assert str(Composition(retriever="base", depth=20, reranker="oracle")) == "retriever:base@20 > oracle@10"


def test_spaces_around_a_name_do_not_matter() -> None:
    name = "bm25@20 > none@10"
    assert str(Composition.parse(f"  {name}\n")) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "retriever:base",
        "retriever:base@20",
        "retriever:base@20 > reranker:refine",
        "retriever:base@20>reranker:refine@10",
        "retriever:base@-1 > none@10",
        "retriever:base@20 > 0.5*none@10",
        "retriever:base@20 > 0.5*oracle@10",
        "retriever:base@20 > 1.5*reranker:refine@10",
        "retriever:@20 > none@10",
        "reranker:base@20 > none@10",
        "bm25@20 > none@10 > none@5",
        "retriever:a b@20 > none@10",
        "bm25@x > none@10",
    ],
)
def test_what_is_no_name_is_refused_with_its_text_and_an_example(name: str) -> None:
    with pytest.raises(PlanError) as caught:
        Composition.parse(name)
    assert repr(name) in str(caught.value)
    assert "'retriever:base@20 > reranker:refine@10'" in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "retriever:bm25@20 > none@10",  # prints as bm25@20
        "bm25@20 > reranker:none@10",  # prints as none@10
        "bm25@020 > none@10",
        "bm25@20 > .50*reranker:refine@10",
        "bm25@٢٠ > none@10",
    ],
)
def test_a_second_spelling_of_a_name_is_refused_or_prints_as_the_first(name: str) -> None:
    try:
        first = Composition.parse(name)
    except PlanError:
        return
    assert Composition.parse(str(first)) == first


@pytest.mark.parametrize("name", ["bm25@0 > none@10", "bm25@20 > none@0", "bm25@20 > 0.0*reranker:refine@10"])
def test_a_name_that_asks_for_nothing_is_refused(name: str) -> None:
    with pytest.raises(PlanError):
        Composition.parse(name)


def test_pairs_are_what_the_reranker_scores_per_query() -> None:
    assert Composition.parse("bm25@60 > reranker:refine@10").pairs == 60
    assert Composition.parse("bm25@60 > none@10").pairs == 0
    assert Composition.parse("bm25@60 > oracle@10").pairs == 0
    assert str(Composition.parse("bm25@60 > none@10").at_depth(5)) == "bm25@5 > none@10"


def test_a_composition_is_uniform_when_both_components_stand_at_one_stage() -> None:
    assert Composition.parse("retriever:law@20 > reranker:law@10").is_uniform
    assert not Composition.parse("retriever:law@20 > reranker:refine@10").is_uniform


def test_all_but_the_oracle_can_be_served() -> None:
    names = ["bm25@60 > none@10", "bm25@60 > reranker:base@10", "bm25@60 > 0.5*reranker:base@10", "bm25@60 > oracle@10"]
    assert [Composition.parse(name).is_servable for name in names] == [True, True, True, False]
