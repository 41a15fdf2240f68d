"""Which compositions can be put together from what runs."""

from dataclasses import replace

from mixstage.composition import Composition
from mixstage.release.record import Pin
from mixstage.serve.answering.resolve import available, resolve
from tests.serve.fakes import fused, pin

LIVE = pin("retriever:a@20 > 0.5*reranker:x@10")
OTHER = replace(
    pin("retriever:b@60 > reranker:y@10"), generation="g-b", retriever="r-b", reranker="k-y", report="other"
)
BARE = replace(pin("bm25@100 > none@10"), generation="g-25", retriever=None, reranker=None)


def test_every_retriever_goes_with_every_reranker_and_none_at_the_live_depth_and_mix() -> None:
    assert set(map(str, available(LIVE, [LIVE, OTHER, BARE]))) == {
        "retriever:a@20 > 0.5*reranker:x@10",
        "retriever:a@20 > 0.5*reranker:y@10",
        "retriever:a@20 > none@10",
        "retriever:b@20 > 0.5*reranker:x@10",
        "retriever:b@20 > 0.5*reranker:y@10",
        "retriever:b@20 > none@10",
        "bm25@20 > 0.5*reranker:x@10",
        "bm25@20 > 0.5*reranker:y@10",
        "bm25@20 > none@10",
    }


def test_a_pin_is_put_together_from_the_components_of_others() -> None:
    made = available(LIVE, [OTHER])[Composition.parse("retriever:b@20 > 0.5*reranker:x@10")]
    assert (made.generation, made.retriever, made.reranker, made.report) == ("g-b", "r-b", LIVE.reranker, LIVE.report)
    alone = available(LIVE, [OTHER])[Composition.parse("retriever:b@20 > none@10")]
    assert (alone.retriever, alone.reranker) == ("r-b", None)


def test_retrievers_of_other_corpora_can_not_answer_but_their_rerankers_can() -> None:
    foreign = replace(OTHER, corpus="other")
    assert set(map(str, available(LIVE, [foreign]))) == {
        "retriever:a@20 > 0.5*reranker:x@10",
        "retriever:a@20 > 0.5*reranker:y@10",
        "retriever:a@20 > none@10",
    }


def test_a_fusion_goes_no_deeper_than_it_ranks() -> None:
    shallow, deep = fused("retriever:ensemble@3 > none@10", depth=3), fused("retriever:ensemble@30 > none@10", depth=30)
    assert not any(one.retriever == "ensemble" for one in available(LIVE, [shallow]))
    assert Composition.parse("retriever:ensemble@20 > none@10") in available(LIVE, [deep])


def test_of_two_components_of_one_name_the_live_one_is_meant() -> None:
    newer = replace(LIVE, generation="g-new", retriever="r-new", reranker="k-new")
    assert {(p.generation, p.reranker) for p in available(LIVE, [newer]).values()} == {("g", "k"), ("g", None)}


def found(name: str, *running: Pin) -> Pin | None:
    return resolve(Composition.parse(name), LIVE, running)


def test_a_composition_is_found_at_any_depth_and_mix() -> None:
    made = found("retriever:b@33 > 0.25*reranker:x@5", OTHER)
    assert made is not None
    assert (str(made.composition), made.retriever, made.reranker) == ("retriever:b@33 > 0.25*reranker:x@5", "r-b", "k")


def test_what_does_not_run_is_not_found() -> None:
    assert found("retriever:b@20 > reranker:x@10") is None
    assert found("retriever:a@20 > reranker:y@10") is None
    assert found("retriever:a@20 > oracle@10", OTHER) is None
    assert found("retriever:ensemble@20 > none@10", fused("retriever:ensemble@3 > none@10", depth=3)) is None
