"""A real Serve application with shards: the same answers as one process, and a filter's error as it was raised."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from mixstage.corpus.application import read_queries
from mixstage.errors import FilterError
from mixstage.models.checkpoint import Checkpoint
from mixstage.pipeline import Pipeline
from mixstage.plan.load import parse_plan
from mixstage.progress import Progress
from mixstage.release.record import Member
from mixstage.serve.answering.components import ServeComponents, retriever_app
from mixstage.serve.retriever import RetrieverArguments, RetrieverService, retriever
from mixstage.store.store import Store

pytestmark = pytest.mark.long


@dataclass(frozen=True)
class Served:
    """A member in two shards, and the same in this process."""

    member: Member
    plain: RetrieverService
    queries: list[str]


@pytest.fixture(scope="module", params=["base", "bm25"])
def served(request: Any, pipeline: Pipeline) -> Iterator[Served]:
    from ray import serve

    model = pipeline.retrievers[request.param]
    arguments = RetrieverArguments(
        store=pipeline.store.uri,
        corpus=pipeline.prepared.corpora["statutes"].digest,
        generation=pipeline.generations["statutes", request.param].digest,
        retriever=model.digest if isinstance(model, Checkpoint) else None,
        shards=2,
    )
    member = Member(generation=arguments.generation, retriever=arguments.retriever)
    serve.run(retriever(arguments), name=retriever_app(member), route_prefix=None)
    of = arguments.store, arguments.corpus, arguments.generation, arguments.retriever
    queries = read_queries(pipeline.prepared.applications["counsel"], "test")["text"].to_list()[:15]
    yield Served(member, RetrieverService(*of), queries)
    serve.delete(retriever_app(member))  # the next one needs its CPUs


@pytest.fixture(scope="module")
def pipeline(
    ray_cluster: None, tmp_path_factory: pytest.TempPathFactory, monkeypatch_module: pytest.MonkeyPatch
) -> Iterator[Pipeline]:
    """The sample corpus with a declared field, indexed in several files."""
    from ray import serve

    monkeypatch_module.setattr("mixstage.index.bm25.GROUP_ROWS", 150)
    plan = parse_plan(
        {
            "name": "shards",
            "store": str(tmp_path_factory.mktemp("shards")),
            "corpora": {"statutes": {"source": "sample://statutes", "shard_kib": 64, "metadata": {"title": "string"}}},
            "applications": {"counsel": {"corpus": "statutes", "source": "sample://counsel"}},
            "retriever": {"base": "hashing://256"},
            "index": {"shard_rows": 150},
        }
    )
    made = Pipeline(plan, Store(plan.store), Progress())
    assert all(len(generation.meta["shards"]) > 2 for generation in made.generations.values())
    yield made
    serve.shutdown()


@pytest.fixture(scope="module")
def monkeypatch_module() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def asked(served: Served, filter: dict[str, Any] | None, *, remote: bool) -> list[Any]:
    components = ServeComponents()

    async def run() -> list[Any]:
        return await asyncio.gather(
            *(
                components.retrieve(served.member, query, 20, filter)
                if remote
                else served.plain.retrieve(query, 20, filter)
                for query in served.queries
            )
        )

    return asyncio.run(run())


@pytest.mark.parametrize("filter", [None, {"title": {"gte": "m"}}, {"title": "no such title"}], ids=str)
def test_two_shards_answer_to_the_bit_what_one_process_answers(served: Served, filter: dict[str, Any] | None) -> None:
    expected = asked(served, filter, remote=False)
    assert asked(served, filter, remote=True) == expected
    titles = {hit["title"] for hits in expected for hit in hits}
    if filter is None:
        assert any(title < "m" for title in titles)
    else:
        assert all(title >= "m" for title in titles)


def test_a_filter_of_no_declared_field_arrives_as_a_filter_error(served: Served) -> None:
    with pytest.raises(FilterError) as refused:
        asyncio.run(ServeComponents().retrieve(served.member, "deposit", 5, {"yaer": 1}))
    assert str(refused.value) == "no such field to filter by: declared are title (string)"


def test_it_says_that_it_is_ready(served: Served) -> None:
    asyncio.run(ServeComponents().check(retriever_app(served.member)))
