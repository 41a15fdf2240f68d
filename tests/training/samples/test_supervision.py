"""Training samples: judged and weak pairs, and the shares in which sources are mixed."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixstage.corpus.application import read_application, write_application
from mixstage.corpus.collection import Collection
from mixstage.corpus.prepare import Prepared
from mixstage.corpus.tables import Application
from mixstage.plan.data import SplitSizes
from mixstage.plan.load import parse_plan
from mixstage.progress import Progress
from mixstage.store.store import Store
from mixstage.training.samples.supervision import SAMPLE, Supervision, mix, read_judged, supervised_pairs


def part(application: str = "counsel", **judgements: list[tuple[str, int]]) -> Supervision:
    """The train split of an application: q1=[("d1", 2), ...]; texts are "? q1" and "! d1"."""
    rows = [(query, doc, grade) for query, docs in judgements.items() for doc, grade in docs]
    return Supervision(
        source=f"judged:{application}",
        corpus=None,  # type: ignore[arg-type]  # pairs are made of what has been read
        queries=pl.DataFrame({"query_id": list(judgements), "text": [f"? {query}" for query in judgements]}),
        judgements=pl.DataFrame(rows, schema=["query_id", "doc_id", "grade"], orient="row"),
        documents={doc: f"! {doc}" for _, doc, _ in rows},
    )


def test_judged_pairs_are_queries_with_their_judged_documents_by_ids_application_after_application() -> None:
    one = part("counsel", q2=[("d2", 1), ("d1", 1)], q1=[("d9", 2)])
    two = part("casework", q1=[("d1", 1)])
    frame = supervised_pairs([one, two])
    assert dict(frame.schema) == SAMPLE
    assert frame.rows() == [
        ("? q1", "! d9", [], [], "judged:counsel"),
        ("? q2", "! d1", [], [], "judged:counsel"),
        ("? q2", "! d2", [], [], "judged:counsel"),
        ("? q1", "! d1", [], [], "judged:casework"),
    ]


def test_nothing_judged_gives_no_pairs_but_the_columns() -> None:
    assert dict(supervised_pairs([]).schema) == SAMPLE
    assert supervised_pairs([]).is_empty()


def test_the_train_split_is_read_with_the_texts_of_its_positive_judgements(
    store: Store, beir: Any, make_corpus: Any
) -> None:
    corpus = make_corpus(
        [{"_id": f"d{n}", "title": "T" * (n == 1), "text": f"text {n}"} for n in range(1, 6)], shards=2
    )
    folder = beir(
        "app",
        queries=[{"_id": f"q{n}", "text": f"question {n}"} for n in range(1, 6)],
        train=[("q1", "d1", 2), ("q1", "d2", 0), ("q2", "d3", 1), ("q3", "d4", 0)],
        dev=[("q4", "d4", 1)],
        test=[("q5", "d5", 1)],
    )
    reading = read_application(Collection.open(str(folder)), corpus)
    application = write_application(store.draft(Application, {"n": 1}), reading, SplitSizes())
    plan = parse_plan(
        {"name": "t", "corpora": {"c": {"source": "x"}}, "applications": {"app": {"corpus": "c", "source": "y"}}}
    )
    (supervision,) = read_judged(
        Prepared(plan=plan, store=store, progress=Progress(), corpora={"c": corpus}, applications={"app": application}),
    )
    assert sorted(supervision.judgements.rows()) == [("q1", "d1", 2), ("q2", "d3", 1)]
    assert supervision.queries["query_id"].to_list() == ["q1", "q2"]  # q3 has no positive
    assert supervision.documents == {"d1": "T. text 1", "d3": "text 3"}
    assert supervised_pairs([supervision]).rows() == [
        ("question 1", "T. text 1", [], [], "judged:app"),
        ("question 2", "text 3", [], [], "judged:app"),
    ]


def test_an_application_without_a_train_split_is_no_source(store: Store, beir: Any, make_corpus: Any) -> None:
    corpus = make_corpus([{"_id": "d1", "text": "x"}])
    queries = [{"_id": "q1", "text": "a"}, {"_id": "q2", "text": "b"}]
    folder = beir("app", queries=queries, dev=[("q1", "d1", 1)], test=[("q2", "d1", 1)])
    reading = read_application(Collection.open(str(folder)), corpus)
    application = write_application(store.draft(Application, {"n": 1}), reading, SplitSizes())
    plan = parse_plan(
        {"name": "t", "corpora": {"c": {"source": "x"}}, "applications": {"app": {"corpus": "c", "source": "y"}}}
    )
    assert (
        read_judged(
            Prepared(
                plan=plan, store=store, progress=Progress(), corpora={"c": corpus}, applications={"app": application}
            ),
        )
        == []
    )


def source(name: str, size: int) -> pl.DataFrame:
    rows = [(f"{name}{n}", f"p{n}", [], [], name) for n in range(size)]
    return pl.DataFrame(rows, schema=SAMPLE, orient="row")


@pytest.mark.parametrize(
    ("sizes", "shares", "drawn"),
    [
        ({"a": 10, "b": 30}, {"a": 1, "b": 3}, {"a": 10, "b": 30}),
        ({"a": 10, "b": 30}, {"a": 1, "b": 1}, {"a": 10, "b": 10}),
        ({"a": 100, "b": 6}, {"a": 0.5, "b": 0.25}, {"a": 12, "b": 6}),  # b: 6 / 0.25 = 24; a: 24 x 0.5
        ({"a": 100, "b": 7}, {"a": 0.9, "b": 0.1}, {"a": 63, "b": 7}),
        ({"a": 10, "b": 30}, {"a": 1, "b": 0}, {"a": 10}),
        ({"a": 10}, {"a": 0.3}, {"a": 10}),
    ],
)
def test_the_scarcest_source_sets_the_size_and_the_others_follow_their_shares(
    sizes: dict[str, int], shares: dict[str, float], drawn: dict[str, int]
) -> None:
    mixed = mix({name: source(name, size) for name, size in sizes.items()}, shares, seed=1)
    assert dict(mixed.group_by("source").len().iter_rows()) == drawn


@given(
    st.dictionaries(st.sampled_from("abc"), st.tuples(st.integers(1, 40), st.floats(0.01, 1)), min_size=1, max_size=3),
    st.integers(0, 9),
    st.none() | st.floats(0.001, 100),
)
def test_no_pair_is_drawn_twice_and_the_scarcest_source_is_used_up(
    parts: dict[str, tuple[int, float]], seed: int, temperature: float | None
) -> None:
    sources = {name: source(name, size) for name, (size, _) in parts.items()}
    mixed = mix(sources, {name: share for name, (_, share) in parts.items()}, seed, temperature)
    assert mixed["anchor"].n_unique() == len(mixed)
    drawn = dict(mixed.group_by("source").len().iter_rows())
    assert any(drawn.get(name) == size for name, (size, _) in parts.items())


def test_a_mix_follows_its_seed_not_the_order_of_its_sources_and_is_shuffled() -> None:
    a, b = source("a", 20), source("b", 40)
    shares = {"a": 0.5, "b": 0.5}
    mixed = mix({"a": a, "b": b}, shares, seed=3)
    assert mixed.equals(mix({"b": b, "a": a}, shares, seed=3))
    assert not mixed.equals(mix({"a": a, "b": b}, shares, seed=4))
    assert mixed["source"].to_list() != sorted(mixed["source"])


@pytest.mark.parametrize(
    ("temperature", "drawn"),
    [
        (1.0, {"a": 100, "b": 25}),  # proportional to size
        (2.0, {"a": 50, "b": 25}),  # weights sqrt(100) = 10 and sqrt(25) = 5
        (1e9, {"a": 25, "b": 25}),  # the shares alone
        (0.5, {"a": 100, "b": 6}),  # weights 100^2 and 25^2: 16 to 1
        (0.001, {"a": 100}),  # the largest alone: 4^-1000 is 0
        (None, {"a": 25, "b": 25}),
    ],
)
def test_a_temperature_lets_the_size_of_a_source_count(temperature: float | None, drawn: dict[str, int]) -> None:
    mixed = mix({"a": source("a", 100), "b": source("b", 25)}, {"a": 1, "b": 1}, 1, temperature)
    assert dict(mixed.group_by("source").len().iter_rows()) == drawn


def test_shares_and_temperature_multiply() -> None:
    # weights 1 x sqrt(100) = 10 and 4 x sqrt(25) = 20: the second is the scarcest with 25 / 20
    mixed = mix({"a": source("a", 100), "b": source("b", 25)}, {"a": 1, "b": 4}, 1, 2.0)
    assert dict(mixed.group_by("source").len().iter_rows()) == {"a": 12, "b": 25}


def test_a_source_that_gave_nothing_takes_no_part() -> None:
    mixed = mix({"a": source("a", 10), "b": source("b", 0)}, {"a": 1, "b": 1}, seed=1)
    assert dict(mixed.group_by("source").len().iter_rows()) == {"a": 10}
    assert mix({"b": source("b", 0)}, {"b": 1}, seed=1).is_empty()
