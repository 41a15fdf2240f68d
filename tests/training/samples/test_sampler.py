"""A stage's samples: sources gathered, mined, mixed and kept, with models whose scores are worked out by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mixstage.corpus.collection import Collection
from mixstage.corpus.documents import CORPUS_FILE, ParseShard, shard_ranges
from mixstage.corpus.hashing import text_hash
from mixstage.corpus.prepare import Prepared, prepare_application
from mixstage.corpus.tables import Corpus
from mixstage.errors import InputError, PlanError
from mixstage.index.generation import Generation
from mixstage.models.base import export_base
from mixstage.models.checkpoint import Checkpoint
from mixstage.models.hashing import HashingReranker
from mixstage.plan.load import parse_plan
from mixstage.plan.schema import RetrieverPlan
from mixstage.plan.stages import StagePlan
from mixstage.progress import Progress
from mixstage.store.store import Store, digest_of
from mixstage.training.artifacts import Samples
from mixstage.training.round import Round
from mixstage.training.samples.sampler import Sampler

pytestmark = pytest.mark.usefixtures("ray_cluster")

# Cosines of bags of words. "deposit": d1 1/sqrt(2) = 0.707, d2 1/sqrt(3) = 0.577, the others 0, by id from d6 down.
# "rent": d3 0.707, d4 0.5, the others 0. BM25 finds what shares a word: d1 and d2; d3 and d4.
DOCUMENTS = [
    {"_id": "d1", "title": "Deposit", "text": "tenant"},
    {"_id": "d2", "title": "Landlord deposit", "text": "keys"},
    {"_id": "d3", "title": "", "text": "rent monthly"},
    {"_id": "d4", "title": "Rent", "text": "arrears notice letter"},
    {"_id": "d5", "title": "", "text": "roof tiles"},
    {"_id": "d6", "title": "Roof", "text": "repair landlord"},
]
QUERIES = [{"_id": "q1", "text": "deposit"}, {"_id": "q2", "text": "rent"}, *({"_id": q, "text": q} for q in "de")]
SPLITS = {"dev": [("d", "d1", 1)], "test": [("e", "d1", 1)]}
TRAIN = [("q1", "d2", 1), ("q2", "d3", 2)]
MINE = {"negatives": 2, "depth": 6}
LEXICAL = {"miners": ["bm25"], "negatives": 1, "depth": 6}
Make = Callable[..., Sampler]


def folder_of(parent: Path, documents: list[dict[str, str]] = DOCUMENTS, train: Any = TRAIN) -> str:
    """A BEIR folder."""
    (parent / "qrels").mkdir(parents=True)
    for name, lines in (("corpus", documents), ("queries", QUERIES)):
        (parent / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    for split, judged in {**SPLITS, "train": train}.items():
        if judged is not None:
            (parent / f"qrels/{split}.tsv").write_text("".join("\t".join(map(str, row)) + "\n" for row in judged))
    return str(parent)


def sampler_of(store: Store, folder: str, seed: int = 0, base: str = "hashing://4096", **corpora: str) -> Sampler:
    """A sampler of the folder, prepared without Ray; every stage is the base."""
    sources = {"law": folder, **corpora}
    plan = parse_plan(
        {
            "name": "t",
            "seed": seed,
            "corpora": {name: {"source": source} for name, source in sources.items()},
            "applications": {"app": {"corpus": "law", "source": folder}},
            "retriever": {"base": base},
            "reranker": {"base": base},
            "resources": {"embed": {"workers": 1}, "score": {"workers": 1}},
        }
    )
    parsed = {name: parsed_corpus(store, source) for name, source in sources.items()}
    application = prepare_application(store, plan.applications["app"], parsed["law"])
    prepared = Prepared(plan=plan, store=store, progress=Progress(), corpora=parsed, applications={"app": application})
    return Sampler(
        prepared=prepared,
        resolve=lambda reference: export_base(plan, store, reference.partition(":")[0]),
    )


def parsed_corpus(store: Store, source: str) -> Corpus:
    collection = Collection.open(source)
    draft = store.draft(Corpus, {"sha256": collection.sha256(CORPUS_FILE)})
    size = collection.size(CORPUS_FILE)
    facts = [ParseShard(collection, draft)(item) for item in shard_ranges(size, -(-size // 2))]
    known = {fact["name"]: {key: fact[key] for key in ("size", "sha256", "rows")} for fact in facts}
    return draft.publish({"documents": sum(fact["rows"] for fact in facts)}, known)


@pytest.fixture(scope="module")
def shared(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    """The sampler of the corpus above; what its tests embed they share."""
    folder = tmp_path_factory.mktemp("sampler")
    return sampler_of(Store(str(folder / "store")), folder_of(folder / "beir"))


@pytest.fixture
def make(tmp_path: Path, store: Store) -> Make:
    """A sampler with a store of its own: `make(train=[...], documents=[...], seed=1)`."""
    count = iter(range(100))

    def build(documents: list[Any] = DOCUMENTS, train: Any = TRAIN, **fields: Any) -> Sampler:
        return sampler_of(store, folder_of(tmp_path / f"beir-{next(count)}", documents, train), **fields)

    return build


def samples_of(sampler: Sampler, component: str = "retriever", **stage: Any) -> Samples:
    current = export_base(sampler.prepared.plan, sampler.prepared.store, component)
    return sampler.samples(round_of(sampler, component, stage, current))


def round_of(sampler: Sampler, component: str, stage: dict[str, Any], current: Checkpoint) -> Round:
    return Round(
        prepared=sampler.prepared,
        component=component,  # type: ignore[arg-type]
        name="stage",
        stage=StagePlan.model_validate(stage),
        parent=current,
        miner=current,
    )


def rows(samples: Samples) -> list[tuple[Any, ...]]:
    return sorted(pl.DataFrame(samples.read_table("samples.parquet")).rows())


def ledger(samples: Samples) -> pl.DataFrame:
    return pl.DataFrame(samples.read_table("negatives.parquet"))


# --- a retriever --------------------------------------------------------------------------------------------

DEPOSIT, RENT = "Landlord deposit. keys", "rent monthly"


def test_a_retrievers_mined_samples_their_notes_and_their_ledger_are_those_worked_out_by_hand(shared: Sampler) -> None:
    # q1: d1 at 0.707 is above 0.95 x 0.577: a suspect. Then d6, d5 at 0. q2: d4 at 0.5 is below 0.95 x 0.707.
    samples = samples_of(shared, mine=MINE)
    texts = {"d4": "Rent. arrears notice letter", "d5": "roof tiles", "d6": "Roof. repair landlord"}
    assert rows(samples) == [
        ("deposit", DEPOSIT, [texts["d6"], texts["d5"]], [], "judged:app+mined"),
        ("rent", RENT, [texts["d4"], texts["d6"]], [], "judged:app+mined"),
    ]
    assert samples.meta == {
        "samples": 2,
        "sources": {"judged:app+mined": 2},
        "mining": {
            "judged:app": {"queries": 2, "kept": 2, "easy": 0, "short": 0, "suspects": 1, "suspected_rate": 0.25}
        },
    }
    table = ledger(samples)
    assert table.select("source", "query_id", "doc_id", "miner", "rank", "use").rows() == [
        ("judged:app", "q1", "d6", "current", 3, "negative"),
        ("judged:app", "q1", "d5", "current", 4, "negative"),
        ("judged:app", "q1", "d1", "current", 1, "suspect"),
        ("judged:app", "q2", "d4", "current", 2, "negative"),
        ("judged:app", "q2", "d6", "current", 3, "negative"),
    ]
    half, third = 0.5**0.5, (1 / 3) ** 0.5
    assert table["score"].to_list() == pytest.approx([0, 0, half, 0.5, 0], abs=1e-3)  # vectors are kept in float16
    assert table["positive_score"].to_list() == pytest.approx([third] * 3 + [half] * 2, abs=1e-3)
    assert table["margin"].to_list() == pytest.approx([third, third, third - half, half - 0.5, half], abs=1e-3)
    assert table["teacher_score"].to_list() == [None] * 5


def test_an_easy_query_is_left_out_and_counted(shared: Sampler) -> None:
    samples = samples_of(shared, mine={**MINE, "hard_rank": 2})
    assert [row[0] for row in rows(samples)] == ["deposit"]
    assert samples.meta["mining"]["judged:app"]["easy"] == 1


def test_sources_are_mixed_by_their_shares(shared: Sampler) -> None:
    # two judged, four titles, two mined: judged is the scarcest per share; titles double it
    samples = samples_of(shared, samples={"judged": 1, "title": 2, "mined": 1}, mine=MINE)
    assert samples.meta["sources"] == {"judged:app": 2, "judged:app+mined": 2, "title:law": 4}
    assert [row[:3] for row in rows(samples) if row[4] == "title:law"] == [
        ("Deposit", "tenant", []),
        ("Landlord deposit", "keys", []),
        ("Rent", "arrears notice letter", []),
        ("Roof", "repair landlord", []),
    ]
    assert [row[:3] for row in rows(samples) if row[4] == "judged:app"] == [
        ("deposit", DEPOSIT, []),
        ("rent", RENT, []),
    ]


def test_pseudo_labels_and_every_weak_source_find_their_way_in(make: Make) -> None:
    text = "# Scope\nIt covers leases. It covers nothing else."
    documents = [*DOCUMENTS, {"_id": "d7", "title": "Lease", "text": text}]
    kinds = ["title", "heading", "neighbours", "cloze", "generated", "pseudo"]
    samples = samples_of(make(documents=documents), samples=dict.fromkeys(kinds, 1.0), temperature=1.0)
    assert set(samples.meta["sources"]) == {f"{kind}:law" for kind in kinds}
    assert samples.meta["mining"] == {}
    assert ledger(samples).is_empty()


def test_a_bad_generator_is_told_before_any_worker_starts(shared: Sampler) -> None:
    with pytest.raises(PlanError, match="no 'nosuch' among generators"):
        samples_of(shared, samples={"generated": 1}, generator="nosuch")


def test_samples_are_found_the_second_time_and_are_the_same_in_another_store(make: Make, tmp_path: Path) -> None:
    sampler = make()
    stage: dict[str, Any] = {"samples": {"mined": 1, "title": 1, "generated": 1}, "mine": LEXICAL}
    first = samples_of(sampler, **stage)
    assert samples_of(sampler, **stage) == first
    other = sampler_of(Store(str(tmp_path / "other")), sampler.prepared.plan.corpora["law"].source)
    again = samples_of(other, **stage)
    assert again.path != first.path
    assert (again.digest, again.files) == (first.digest, first.files)


def test_only_corpora_with_judgements_are_indexed_for_mining(make: Make, tmp_path: Path) -> None:
    other = folder_of(tmp_path / "other", [{"_id": "d1", "title": "T", "text": "elsewhere"}])
    sampler = make(other=other)
    samples_of(sampler, mine=LEXICAL)
    (generation,) = sampler.prepared.store.all(Generation)
    assert generation.meta["corpus"] == sampler.prepared.corpora["law"].digest


# --- a reranker ---------------------------------------------------------------------------------------------


def test_a_rerankers_weak_sources_are_mined_and_their_negatives_look_like_their_positives(shared: Sampler) -> None:
    # title: the text is learned without its title, so a negative shows none either
    samples = samples_of(shared, "reranker", samples={"title": 1}, mine={**LEXICAL, "hard_rank": 5, "min_grade": 3})
    assert [row[:3] for row in rows(samples)] == [
        ("Deposit", "tenant", ["keys"]),
        ("Landlord deposit", "keys", ["tenant"]),  # d1 and d6 share a word each; d1 is shorter
        ("Rent", "arrears notice letter", ["rent monthly"]),
        ("Roof", "repair landlord", ["roof tiles"]),
    ]
    notes = samples.meta["mining"]["title:law"]
    assert notes == {"queries": 4, "kept": 4, "easy": 0, "short": 0, "suspects": 0, "suspected_rate": 0.0}


def test_a_teacher_scores_the_very_texts_of_the_samples(shared: Sampler) -> None:
    stage = {
        "samples": {"title": 1, "mined": 1},
        "temperature": 1.0,
        "mine": LEXICAL,
        "loss": {"name": "margin_mse", "teacher": "reranker:base"},
    }
    samples = samples_of(shared, "reranker", **stage)
    samples_read = rows(samples)
    assert {row[4] for row in samples_read} == {"title:law+mined", "judged:app+mined"}
    for anchor, positive, negatives, scores, _ in samples_read:
        texts = [positive, *negatives]
        assert scores == HashingReranker().score([anchor] * len(texts), texts).tolist()


def test_the_current_reranker_orders_what_another_miner_found(shared: Sampler) -> None:
    # BM25 ranks d1 above the longer d2. The reranker's share of query words less 0.0001 a word: d1 0.9998, d2 0.9997.
    samples = samples_of(shared, "reranker", mine={**LEXICAL, "scored_by": "current", "absolute_margin": -1.0})
    assert [row[:3] for row in rows(samples)] == [
        ("deposit", DEPOSIT, ["Deposit. tenant"]),
        ("rent", RENT, ["Rent. arrears notice letter"]),
    ]
    table = ledger(samples)
    assert table.select("query_id", "doc_id", "miner", "rank").rows() == [
        ("q1", "d1", "current", 1),
        ("q2", "d4", "current", 2),
    ]
    assert table["score"].to_list() == pytest.approx([0.9998, 0.9996], abs=1e-6)
    assert table["positive_score"].to_list() == pytest.approx([0.9997, 0.9998], abs=1e-6)


def test_a_filter_turns_away_what_the_reranker_likes_as_well(shared: Sampler) -> None:
    # it scores d1 for "deposit" at 0.9998 against 0.9997 of the positive, d4 for "rent" at 0.9996 against 0.9998
    with pytest.raises(InputError, match=r"'short': 2, 'suspects': 2, 'suspected_rate': 1\.0"):
        samples_of(shared, "reranker", mine={**LEXICAL, "filter_by": "reranker:base"})
    lenient = samples_of(shared, "reranker", mine={**LEXICAL, "filter_by": "reranker:base", "margin": 0.99985})
    assert [row[0] for row in rows(lenient)] == ["rent"]  # below 0.99985 x 0.9998 = 0.99965
    assert lenient.meta["mining"]["judged:app"]["suspects"] == 1


# --- texts of a pretraining stage ---------------------------------------------------------------------------


def test_texts_are_a_hash_sample_of_each_corpus(shared: Sampler) -> None:
    samples = samples_of(shared, mlm={}, limit=4)
    assert (samples.meta["samples"], samples.meta["sources"]) == (4, {"text:law": 4})
    taken = sorted(DOCUMENTS, key=lambda row: text_hash(row["_id"]))[:4]
    texts = {f"{row['title']}. {row['text']}" if row["title"] else row["text"] for row in taken}
    assert set(pl.DataFrame(samples.read_table("samples.parquet"))["text"]) == texts


# --- nothing to learn from ----------------------------------------------------------------------------------


def nothing_left(store: Store) -> bool:
    return not list(Path(store.root).glob("samples/*"))


@pytest.mark.parametrize("stage", [{}, {"mine": MINE}, {"samples": {"title": 1, "judged": 1}}])
def test_without_a_train_split_judged_sources_are_refused(make: Make, stage: dict[str, Any]) -> None:
    sampler = make(train=None)
    with pytest.raises(
        InputError, match=r"^re(triever|ranker) stage: no application has a train split: add qrels/train\.tsv or"
    ):
        samples_of(sampler, **stage)
    assert nothing_left(sampler.prepared.store)


def test_without_a_train_split_weak_sources_are_enough(make: Make) -> None:
    assert samples_of(make(train=None), samples={"title": 1}).meta["samples"] == 4


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        ({"mine": {**LEXICAL, "hard_rank": 7}}, "'queries': 2, 'kept': 0, 'easy': 2"),
        ({"mine": {**LEXICAL, "negatives": 6}}, "'short': 2"),
        ({"samples": {"heading": 1, "cloze": 2}}, r"\{'heading': 1.0, 'cloze': 2.0\}"),
    ],
)
def test_a_stage_without_samples_is_refused(make: Make, stage: dict[str, Any], told: str) -> None:
    sampler = make()
    with pytest.raises(
        InputError,
        match=rf"^re(triever|ranker) stage: no samples \(.*{told}.*: lower hard_rank or negatives, raise depth",
    ):
        samples_of(sampler, **stage)
    assert nothing_left(sampler.prepared.store)


def test_a_lowest_grade_above_all_judgements_is_named_as_the_cause(make: Make) -> None:
    message = (
        r"mine\.min_grade 3 leaves no judgement, for the highest grade of the train splits is 2; write min_grade: 2"
    )
    with pytest.raises(InputError, match=message):
        samples_of(make(), mine={**LEXICAL, "min_grade": 3})


# --- what decides -------------------------------------------------------------------------------------------

MINED: dict[str, Any] = {"mine": MINE, "samples": {"mined": 1, "title": 1}}


@pytest.fixture
def digest(shared: Sampler) -> Callable[..., str]:
    """Of a stage's recipe: `digest({"limit": 5}, current="hashing://8")`."""

    def of(
        stage: dict[str, Any],
        component: str = "retriever",
        current: str = "hashing://4096",
        sampler: Sampler = shared,
    ) -> str:
        plan = sampler.prepared.plan.model_copy(update={component: RetrieverPlan(base=current)})
        checkpoint = export_base(plan, sampler.prepared.store, component)
        return digest_of(sampler.recipe(round_of(sampler, component, stage, checkpoint)))

    return of


@pytest.mark.parametrize(
    "change",
    [
        {"samples": {"mined": 1, "title": 2}},
        {"samples": {"mined": 1}},
        {"temperature": 2.0},
        {"limit": 7},
        {"loss": {"teacher": "reranker:base"}},
        *(
            {"mine": {**MINE, **mine}}
            for mine in (
                {"margin": 0.9},
                {"absolute_margin": 0.1},
                {"depth": 5},
                {"negatives": 1},
                {"hard_rank": 2},
                {"first_rank": 2},
                {"min_grade": 2},
                {"miners": ["current", "bm25"]},
                {"filter_by": "reranker:base"},
            )
        ),
    ],
    ids=repr,
)
def test_another_recipe_comes_of_what_decides_the_samples(digest: Callable[..., str], change: dict[str, Any]) -> None:
    assert digest(MINED) == digest(MINED)
    assert digest({**MINED, **change}) != digest(MINED)


@pytest.mark.parametrize(
    "change",
    [
        {"mine": {**MINE, "refresh": True}},
        {"mine": {**MINE, "refresh": True, "asynchronous": True}},
        {"steps": 5},
        {"epochs": 9},
        {"batch_size": 4},
        {"learning_rate": 1.0},
        {"loss": {"temperature": 0.5, "cached": 4}},
        {"lora": {}},
        {"validation": {"every": 1}},
        {"generator": "re:findall"},  # nothing is generated
        {"pseudo": {"agree": 2}},  # nor pseudo-labelled
        {"save_every": 1},
        {"resources": {"cpus": 1}},
        {"samples": {"title": 1, "mined": 1}},
    ],
    ids=repr,
)
def test_the_recipe_stays_where_the_samples_do(digest: Callable[..., str], change: dict[str, Any]) -> None:
    assert digest({**MINED, **change}) == digest(MINED)


def test_a_limit_of_weak_pairs_decides_nothing_where_all_samples_are_judged(digest: Callable[..., str]) -> None:
    assert digest({"mine": MINE, "limit": 7}) == digest({"mine": MINE})
    assert digest({"limit": 7}) == digest({})


def test_a_generator_and_pseudo_settings_decide_where_they_are_asked(digest: Callable[..., str]) -> None:
    generated, pseudo = {"samples": {"generated": 1}}, {"samples": {"pseudo": 1}}
    assert digest({**generated, "generator": "re:findall"}) != digest(generated)
    assert digest({**pseudo, "pseudo": {"agree": 2}}) != digest(pseudo)


def test_the_weights_decide_where_they_look_for_samples(digest: Callable[..., str]) -> None:
    def depends(stage: dict[str, Any]) -> bool:
        return digest(stage) != digest(stage, current="hashing://8")

    assert depends(MINED)
    assert depends({"samples": {"pseudo": 1}})
    assert not depends({"samples": {"pseudo": 1}, "pseudo": {"retrievers": ["bm25", "base"]}})
    assert not depends({**MINED, "mine": {**MINE, "miners": ["bm25", "base"]}})
    assert not depends({})


def test_data_and_seed_decide(digest: Callable[..., str], make: Make) -> None:
    same, fewer = make(), make(train=TRAIN[:1])
    larger, seeded = make(documents=[*DOCUMENTS, {"_id": "d7", "text": "more"}]), make(seed=1)
    assert digest(MINED, sampler=same) == digest(MINED)
    assert len({digest(MINED, sampler=sampler) for sampler in (same, fewer, larger, seeded)}) == 4
    weak = {"samples": {"title": 1}}
    assert digest(weak, sampler=fewer) == digest(weak), "no judgement is read"
