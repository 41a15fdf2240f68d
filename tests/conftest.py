"""What tests share: one embedded cluster, small collections from Python data, a tiny transformer made offline."""

import gzip
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import settings

from mixstage.corpus.collection import Collection
from mixstage.corpus.documents import CORPUS_FILE, ParseShard, shard_ranges
from mixstage.corpus.hashing import text_key
from mixstage.corpus.tables import Application, Corpus
from mixstage.embedding.embed import EmbeddingRequest
from mixstage.embedding.vectors import Embedding, vector_table
from mixstage.embedding.worker import Embedder, Job
from mixstage.models.base import export_base
from mixstage.models.checkpoint import Checkpoint
from mixstage.plan.load import parse_plan
from mixstage.plan.schema import IndexPlan
from mixstage.store.store import Store

settings.register_profile("mixstage", deadline=None)  # a busy machine is no failure
settings.load_profile("mixstage")

ROOT = Path(__file__).resolve().parent.parent
_OBJECT_STORE = 200 << 20  # bytes: tests pass kilobytes around
_MODEL_DIM = 32

Rows = list[dict[str, Any]]
BeirWriter = Callable[..., Path]
CorpusMaker = Callable[..., Corpus]
CheckpointMaker = Callable[..., Checkpoint]


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """Ray inside this machine, with 2 CPUs and the workers' environment of `jobs`."""
    import ray

    from mixstage import connection

    os.environ.pop("RAY_ADDRESS", None)
    ray.init(
        num_cpus=2,
        object_store_memory=_OBJECT_STORE,
        runtime_env={"env_vars": connection.WORKER_ENV},
        logging_level=logging.WARNING,
    )
    connection.connect()  # finds Ray started; sets what jobs set in the driver
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser; one of the machine's, so that nothing is downloaded. It ends with its module: while it runs, its event
    loop lets no `asyncio.run` start another."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium on this machine: the page is not tested in a browser")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real collections beside the repository; not everyone has it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no {folder}: the real collections are not on this machine")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def beir(tmp_path: Path) -> BeirWriter:
    """Writes a BEIR folder: `beir("name", documents=[...], queries=[...], train=[...], dev=[...], test=[...])`.

    documents: {"_id", "title", "text"} (or raw lines); queries: {"_id", "text"} (or raw lines); splits: rows
    (query, document, grade), or None for no file. `packed` gzips every file.
    """

    def write(
        name: str = "beir",
        *,
        documents: list[Any] | None = None,
        queries: list[Any] | None = None,
        packed: bool = False,
        **splits: list[tuple[str, str, object]] | None,
    ) -> Path:
        folder = tmp_path / name
        files = {}
        if documents is not None:
            files["corpus.jsonl"] = _lines(documents)
        if queries is not None:
            files["queries.jsonl"] = _lines(queries)
        for split, rows in splits.items():
            if rows is not None:
                body = "".join("\t".join(map(str, row)) + "\n" for row in rows)
                files[f"qrels/{split}.tsv"] = "query-id\tcorpus-id\tscore\n" + body
        for file, text in files.items():
            path = folder / (file + ".gz" * packed)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
        return folder

    return write


def _lines(rows: list[Any]) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)) + "\n" for row in rows)


@pytest.fixture
def make_corpus(beir: BeirWriter, store: Store) -> CorpusMaker:
    """A corpus artifact of documents, parsed without Ray, cut into about `shards` shards."""

    def make(documents: list[Any], *, name: str = "corpus", shards: int = 1) -> Corpus:
        collection = Collection.open(str(beir(name, documents=documents)))
        recipe = {"what": "corpus", "sha256": collection.sha256(CORPUS_FILE), "shards": shards}
        draft = store.draft(Corpus, recipe)
        size = collection.size(CORPUS_FILE)
        facts = [ParseShard(collection, draft)(item) for item in shard_ranges(size, -(-size // shards))]
        known = {fact["name"]: {key: fact[key] for key in ("size", "sha256", "rows")} for fact in facts}
        return draft.publish({"documents": sum(fact["rows"] for fact in facts)}, known)

    return make


@pytest.fixture
def make_checkpoint(store: Store) -> CheckpointMaker:
    """The base checkpoint of a component: `make_checkpoint("retriever", base="hashing://64")`."""

    def make(component: str, into: Store | None = None, **fields: Any) -> Checkpoint:
        plan = parse_plan(
            {
                "name": "t",
                "corpora": {"c": {"source": "sample://statutes"}},
                "applications": {"a": {"corpus": "c", "source": "sample://counsel"}},
                component: {"base": "hashing://64", **fields},
            }
        )
        return export_base(plan, into or store, component)

    return make


@pytest.fixture(scope="session")
def sample_documents() -> Rows:
    """The sample corpus as plain json reads it, in file order."""
    content = gzip.decompress((ROOT / "lib/mixstage/corpus/sample/corpus.jsonl.gz").read_bytes())
    return [json.loads(line) for line in content.splitlines() if line.strip()]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, sample_documents: Rows) -> Path:
    """A sentence-transformers folder with a 2-layer BERT of seeded random weights: a plan's `base:` in tests.

    The vocabulary is learnt from the sample corpus, so nothing is downloaded.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel

    raw = tmp_path_factory.mktemp("bert")
    texts = [f"{row['title']} {row['text']}" for row in sample_documents]
    tokenizer = _word_pieces(texts)
    tokenizer.save_pretrained(str(raw))
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=_MODEL_DIM,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * _MODEL_DIM,
        max_position_embeddings=256,
        initializer_range=0.2,  # ten times BERT's: random layers that leave traces in the vectors
    )
    torch.manual_seed(7)
    BertModel(config).eval().save_pretrained(str(raw))
    words = Transformer(str(raw), max_seq_length=128)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model = SentenceTransformer(modules=[words, Pooling(_MODEL_DIM, pooling_mode="mean")], device="cpu")
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


def _word_pieces(texts: list[str]) -> Any:
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    learner = BertWordPieceTokenizer(lowercase=True)
    learner.train_from_iterator(texts, vocab_size=1500, min_frequency=2, show_progress=False)
    return BertTokenizerFast(tokenizer_object=learner._tokenizer, do_lower_case=True, model_max_length=256)


@pytest.fixture
def memory_store() -> Iterator[Store]:
    """A store that is no local disk: objects without folders, in this process's memory."""
    import fsspec

    memory = fsspec.filesystem("memory")
    yield Store("fsspec+memory:///mixstage-tests/store")
    if memory.exists("/mixstage-tests"):
        memory.rm("/mixstage-tests", recursive=True)


EmbeddingMaker = Callable[..., Embedding]


@pytest.fixture
def make_embedding(store: Store) -> EmbeddingMaker:
    """An embedding of given vectors, cut into shards before the given rows; texts are the rows' numbers, or given."""

    def make(
        vectors: np.ndarray, cuts: Sequence[int] = (), *, dtype: str = "float32", texts: Sequence[str] | None = None
    ) -> Embedding:
        names = list(texts or map(str, range(len(vectors))))
        recipe = {"what": "embedding", "of": names, "cuts": list(cuts), "dtype": dtype, "sum": float(vectors.sum())}
        draft = store.draft(Embedding, recipe)
        known = {}
        for number, (start, stop) in enumerate(zip([0, *cuts], [*cuts, len(vectors)], strict=True)):
            part = slice(start, stop)
            ids = pa.array([f"d{n}" for n in range(start, stop)])
            keys = pa.array([text_key(name) for name in names[part]], pa.binary(16))
            nothing = np.zeros(stop - start)
            table = vector_table(ids, keys, nothing.astype(np.int32), nothing > 0, vectors[part].astype(dtype))
            known[f"vectors/part-{number:05d}.parquet"] = draft.table(f"vectors/part-{number:05d}.parquet", table)
        meta = {"rows": len(vectors), "dim": vectors.shape[1], "of": "corpus", "retriever": "retriever"}
        return draft.publish(meta, known)

    return make


@pytest.fixture
def embed_plainly(store: Store) -> EmbeddingMaker:
    """The embedding of a corpus or of an application's queries under a checkpoint, found by `embed` as its own."""

    def make(
        texts: Corpus | Application, checkpoint: Checkpoint, *, role: Any = "document", into: Store | None = None
    ) -> Embedding:
        recipe = EmbeddingRequest(texts=texts, role=role, checkpoint=checkpoint, label="").recipe(IndexPlan())
        draft, dtype = (into or store).draft(Embedding, recipe), recipe["dtype"]
        job = Job(texts=texts, role=role, checkpoint=checkpoint, dtype=dtype, precision="float32", draft=draft)
        embedder = Embedder([job], None)
        known = {}
        names = texts.names("documents/", ".parquet") if role == "document" else ["queries.parquet"]
        for number, source in enumerate(names):
            rows = texts.files[source]["rows"] if role == "document" else texts.read_table(source).num_rows
            name = f"vectors/part-{number:05d}.parquet"
            embedder({"source": source, "parts": [[0, {"name": name, "rows": [[0, rows]]}]]})
            known[name] = {**draft.facts(name), "rows": rows}
        dim = embedder.encoders[checkpoint.digest, "float32"].dim
        rows = sum(facts["rows"] for facts in known.values())
        meta = {"rows": rows, "dim": dim, "of": texts.digest, "retriever": checkpoint.meta["fingerprint"]}
        return draft.publish(meta, known)

    return make
