"""The retriever's service: filters, health, tuning; the same answers however many shards hold the files."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from ray.exceptions import RayActorError
from ray.serve._private.common import DeploymentID
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

from mixstage.corpus.collection import Collection
from mixstage.corpus.documents import CORPUS_FILE, ParseShard, iterate_documents, shard_ranges
from mixstage.corpus.tables import Corpus
from mixstage.errors import FilterError, ModelError, OverloadError
from mixstage.index.generation import Generation
from mixstage.index.search import DenseIndex, divide
from mixstage.models.checkpoint import Checkpoint
from mixstage.models.encoder import Role
from mixstage.models.hashing import HashingEncoder
from mixstage.models.lexical import Lexical, Statistics
from mixstage.models.words import words
from mixstage.plan.data import FieldType
from mixstage.plan.schema import IndexPlan
from mixstage.serve.retriever import RetrieverArguments, RetrieverService, deployment_names
from mixstage.serve.workers.shards import Shard
from mixstage.store.store import Store

DIM, SIZE = 32, 90
CUTS = (30, 50)  # of the generation's files
FIELDS: dict[str, FieldType] = {"year": "integer", "court": "string"}
WORDS = ["deposit", "rent", "roof", "tenant", "landlord", "heating"]
QUERIES = ["roof tenant", "heating", "submarine", "deposit of the tenant"]


def document(number: int) -> dict[str, Any]:
    """Short texts of six words: many are equal, and tie."""
    text = " ".join(np.random.default_rng(number).choice(WORDS, size=2))
    metadata = {"court": ["bgh", "olg"][number % 2]} if number % 5 else {}
    return {"_id": f"d{number * 37 % SIZE}", "text": text, "year": 1990 + number // 3, "metadata": metadata}


DOCUMENTS = [document(number) for number in range(SIZE)]
TEXTS = [row["text"] for row in DOCUMENTS]


@pytest.fixture
def corpus(store: Store, beir: Any) -> Corpus:
    collection = Collection.open(str(beir(documents=DOCUMENTS)))
    draft = store.draft(Corpus, {"fields": FIELDS})
    for item in shard_ranges(collection.size(CORPUS_FILE), 2000):
        ParseShard(collection, draft, FIELDS)(item)
    return draft.publish({"documents": SIZE, "metadata": FIELDS})


def pieces() -> Iterator[tuple[int, int, int]]:
    yield from ((n, start, stop) for n, (start, stop) in enumerate(zip((0, *CUTS), (*CUTS, SIZE), strict=True)))


def dense(store: Store, checkpoint: Checkpoint) -> Generation:
    import faiss

    draft = store.draft(Generation, {"what": "dense"})
    shards = []
    for number, start, stop in pieces():
        index = faiss.IndexFlatIP(DIM)
        index.add(HashingEncoder(DIM).encode(TEXTS[start:stop], "document"))
        faiss.write_index(index, f"{draft.path}/index-{number}.faiss")
        shards.append({"name": f"index-{number}.faiss", "start": start, "stop": stop, "vectors": ""})
    retriever = checkpoint.meta["fingerprint"]
    return draft.publish({"retriever": retriever, "dim": DIM, "shards": shards, "index": IndexPlan().model_dump()})


def lexical(store: Store) -> Generation:
    draft = store.draft(Generation, {"what": "lexical"})
    whole = Statistics.of(words(TEXTS, "english"))
    shards = []
    for number, start, stop in pieces():
        Lexical.build(TEXTS[start:stop], "english", whole).save(Path(draft.path, f"bm25-{number}"))
        shards.append({"name": f"bm25-{number}", "start": start, "stop": stop})
    return draft.publish({"retriever": "bm25", "language": "english", "shards": shards})


Parts = tuple[Store, Corpus, Generation, str | None]


@pytest.fixture(params=["dense", "bm25"])
def parts(request: Any, store: Store, corpus: Corpus, make_checkpoint: Any) -> Parts:
    if request.param == "bm25":
        return store, corpus, lexical(store), None
    checkpoint = make_checkpoint("retriever", base=f"hashing://{DIM}")
    return store, corpus, dense(store, checkpoint), checkpoint.digest


class Local:
    """A handle whose deployment is an object of this process; the first calls find a dead replica."""

    def __init__(self, shard: Shard, deaths: int = 0) -> None:
        self.shard, self.deaths, self.is_stuck, self.cancelled = shard, deaths, False, 0
        self.gone: Exception | None = None

    @property
    def search(self) -> Any:
        return _Method(self, self.shard.search)


class _Method:
    def __init__(self, handle: Local, method: Any) -> None:
        self.handle, self.method = handle, method

    def remote(self, *arguments: Any) -> "_Method":
        self.arguments = arguments
        return self

    def result(self, timeout_s: float) -> Any:
        if self.handle.is_stuck:
            raise TimeoutError
        if self.handle.gone is not None:
            raise self.handle.gone
        self.handle.deaths -= 1
        if self.handle.deaths >= 0:
            raise RayActorError()
        return self.method(*self.arguments)

    def cancel(self) -> None:
        self.handle.cancelled += 1


def whole(parts: Parts) -> RetrieverService:
    store, corpus, generation, retriever = parts
    return RetrieverService(store.uri, corpus.digest, generation.digest, retriever)


def sharded(parts: Parts, count: int, deaths: int = 0) -> RetrieverService:
    store, corpus, generation, retriever = parts
    handles = [Local(Shard(store.uri, generation.digest, number, count), deaths) for number in range(count)]
    return RetrieverService(store.uri, corpus.digest, generation.digest, retriever, *handles)


def ask(service: RetrieverService, depth: int, filter: Any = None) -> list[list[dict[str, Any]]]:
    async def run() -> list[list[dict[str, Any]]]:
        return await asyncio.gather(*(service.retrieve(query, depth, filter) for query in QUERIES))

    return asyncio.run(run())


FILTERS = [{"year": {"gte": 2000, "lt": 2010}}, {"court": "bgh"}, {"court": {"any": ["olg"]}, "year": 2001}]


def passes(hit: dict[str, Any], filter: dict[str, Any]) -> bool:
    row = next(row for row in DOCUMENTS if row["_id"] == hit["id"])
    court = row["metadata"].get("court")
    return [2000 <= row["year"] < 2010, court == "bgh", court == "olg" and row["year"] == 2001][FILTERS.index(filter)]


@pytest.mark.parametrize("filter", FILTERS, ids=str)
def test_a_filtered_answer_is_the_full_one_filtered_and_cut(parts: Parts, filter: dict[str, Any]) -> None:
    service = whole(parts)
    everything = ask(service, SIZE)
    for depth in (1, 7, SIZE):
        assert ask(service, depth, filter) == [[h for h in hits if passes(h, filter)][:depth] for hits in everything]
    assert sum(map(len, ask(service, SIZE, filter))) > 0


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("filter", [None, {}, *FILTERS], ids=str)
def test_shards_answer_to_the_bit_what_one_process_answers(parts: Parts, count: int, filter: Any) -> None:
    one, many = whole(parts), sharded(parts, count)
    for depth in (1, 7, SIZE + 5):
        assert ask(many, depth, filter) == ask(one, depth, filter)


def test_a_shard_that_died_is_asked_again_and_given_up_after_three_times(parts: Parts) -> None:
    assert ask(sharded(parts, 2, deaths=2), 5) == ask(whole(parts), 5)
    with pytest.raises(OverloadError, match="ask again later"):
        ask(sharded(parts, 2, deaths=99), 5)


def test_a_shard_that_does_not_answer_is_no_illness_of_the_retriever(parts: Parts) -> None:
    service = sharded(parts, 2)
    shards = shards_of(service)
    shards[1].is_stuck = True
    with pytest.raises(OverloadError):
        ask(service, 5)
    with pytest.raises(OverloadError):
        asyncio.run(service.ready())
    asyncio.run(service.check_health())
    assert (shards[0].cancelled, shards[1].cancelled) == (0, 3)  # what nobody waits for is not left at work


def shards_of(service: RetrieverService) -> Any:
    files: Any = service.index
    return files.files.shards if isinstance(service.index, DenseIndex) else files.shards


@pytest.mark.parametrize(
    "gone", [DeploymentUnavailableError(DeploymentID("Shard1", "app")), BackPressureError(5, 4)], ids=type
)
def test_a_shard_that_serve_has_not_got_or_whose_queue_is_full_is_asked_once(parts: Parts, gone: Exception) -> None:
    service = sharded(parts, 2)
    shards_of(service)[1].gone = gone
    rankings: list[int] = []
    rank = service.batcher._work
    service.batcher._work = lambda requests: rankings.append(len(requests)) or rank(requests)  # type: ignore[func-returns-value]

    async def run() -> list[Any]:
        return await asyncio.gather(*(service.retrieve(query, 5) for query in QUERIES), return_exceptions=True)

    assert [type(answer) for answer in asyncio.run(run())] == [OverloadError] * 4
    assert rankings == [4]  # together, and none of them by itself
    asyncio.run(service.check_health())


def test_texts_are_taken_from_one_chunk_of_wide_offsets_however_many_parts_a_corpus_has(parts: Parts) -> None:
    texts = whole(parts).texts
    assert len(list(iterate_documents(parts[1], ["text"]))) > 1
    assert [(column.type, column.num_chunks) for column in texts.columns] == [(pa.large_string(), 1)] * 2


def test_a_retriever_that_has_lost_its_texts_is_not_ready(parts: Parts) -> None:
    if parts[3] is None:
        return  # BM25 finds nothing for the question
    service = whole(parts)
    service.texts = service.texts.slice(0, 0)
    with pytest.raises(IndexError):
        asyncio.run(service.ready())


def test_queries_with_several_filters_are_encoded_in_one_call_and_searched_by_filter(parts: Parts) -> None:
    service = whole(parts)
    wanted = [None, FILTERS[0], FILTERS[1], FILTERS[0]]

    class Counting(HashingEncoder):
        calls: ClassVar[list[list[str]]] = []

        def encode(self, texts: Sequence[str], role: Role) -> np.ndarray:
            self.calls.append(list(texts))
            return super().encode(texts, role)

    async def together() -> list[list[dict[str, Any]]]:
        return await asyncio.gather(*(service.retrieve(q, 5, f) for q, f in zip(QUERIES, wanted, strict=True)))

    expected = [ask(service, 5, filter)[number] for number, filter in enumerate(wanted)]
    if isinstance(service.index, DenseIndex):
        service.index.encoder = Counting(DIM)
    assert asyncio.run(together()) == expected
    if isinstance(service.index, DenseIndex):
        assert Counting.calls == [QUERIES]


@pytest.mark.parametrize("filter", [{"yaer": 1}, {"year": "2001"}, [], {"court": {"gte": 5}}])
def test_a_bad_filter_fails_its_own_request_only(parts: Parts, filter: Any) -> None:
    service = whole(parts)

    async def both() -> list[Any]:
        asked = service.retrieve("roof", 3), service.retrieve("roof", 3, filter)
        return await asyncio.gather(*asked, return_exceptions=True)

    good, bad = asyncio.run(both())
    assert len(good) == 3 and isinstance(bad, FilterError)


def test_a_generation_is_cut_into_neighbouring_files_and_into_no_more_parts_than_it_has(parts: Parts) -> None:
    store, corpus, generation, _ = parts
    names = [[file["name"][-1 if parts[3] is None else -7] for file in part] for part in divide(generation, 2)]
    assert names == [["0", "1"], ["2"]]
    of = {"store": store.uri, "corpus": corpus.digest, "generation": generation.digest}
    assert deployment_names(RetrieverArguments(**of)) == ["Retriever"]
    assert deployment_names(RetrieverArguments(**of, shards=2)) == ["Retriever", "Shard0", "Shard1"]
    assert deployment_names(RetrieverArguments(**of, shards=9)) == ["Retriever", "Shard0", "Shard1", "Shard2"]


def test_a_shard_opens_its_own_files_only(parts: Parts) -> None:
    store, _, generation, _ = parts
    other = Path(generation.path, generation.meta["shards"][2]["name"])
    other.rename(other.with_name("elsewhere"))
    scores, _ = Shard(store.uri, generation.digest, 0, 2).search(
        QUERIES if parts[3] is None else HashingEncoder(DIM).encode(QUERIES, "query"), 5, None
    )
    assert scores.shape == (4, 5)
    with pytest.raises((FileNotFoundError, RuntimeError)):
        Shard(store.uri, generation.digest, 1, 2)


def test_health_is_a_real_search(parts: Parts) -> None:
    service = whole(parts)
    asyncio.run(service.check_health())
    asyncio.run(Shard(parts[0].uri, parts[2].digest, 1, 2).check_health())


def test_a_model_whose_scores_are_no_numbers_is_not_ready(parts: Parts) -> None:
    class Broken:
        def search(self, queries: list[str], k: int) -> tuple[np.ndarray, np.ndarray]:
            return np.full((1, k), np.nan, dtype=np.float32), np.arange(k)[None]

    service = whole(parts)
    service.index = Broken()  # type: ignore[assignment]
    with pytest.raises(ModelError, match="build it again"):
        asyncio.run(service.ready())


def test_the_budget_is_set_while_it_runs_and_never_to_nonsense(parts: Parts) -> None:
    service = whole(parts)
    digest = parts[2].digest
    assert service.status() == {"digest": digest, "budget": 32, "problem": None}
    service.reconfigure({"budget": 8})
    assert service.batcher.budget == 8
    for nonsense in ({"budget": 0}, {"budget": "9"}, {"budgte": 9}, None, "x", {"budget": True}):
        service.reconfigure(nonsense)
        status = service.status()
        assert (status["budget"], service.batcher.budget) == (8, 8)
        assert "8 stays in force" in status["problem"]
    service.reconfigure({})
    assert service.status() == {"digest": digest, "budget": 32, "problem": None}


def test_texts_get_the_vectors_of_the_retrievers_own_encoder_and_of_bm25_none(parts: Parts) -> None:
    service = whole(parts)
    texts = ["roof tenant", "heating"]
    if parts[3] is None:
        with pytest.raises(ModelError, match="BM25 has no vectors"):
            asyncio.run(service.embed(texts, "query"))
        return
    vectors, tokens = asyncio.run(service.embed(texts, "query"))
    np.testing.assert_array_equal(vectors, HashingEncoder(DIM).encode(texts, "query"))
    assert tokens == 3
