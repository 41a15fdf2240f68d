"""The arithmetic of a forecast by hand, and what a worker measures against what a run then finds."""

import re
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest

from mixstage.corpus.documents import document_text
from mixstage.corpus.tables import Corpus
from mixstage.embedding.embed import EmbeddingRequest, Pace, embed
from mixstage.errors import PlanError
from mixstage.index.faiss_files import fill, train_index, write
from mixstage.index.forecast import Forecast, Work, forecast, parse_deadline, peak_of, stages_of, texts_left, work_of
from mixstage.index.forecast_worker import Sample, Size, budgets_for, measure, measure_index
from mixstage.models.checkpoint import open_encoder
from mixstage.plan.schema import IndexPlan, RetrieverPlan
from mixstage.plan.stages import Workers
from mixstage.progress import Progress
from mixstage.store.store import Store

DOCUMENTS = [
    {"_id": f"d{n}", "title": "", "text": f"article {n} of {n % 5} deposits " * (n % 3 + 1)} for n in range(60)
]


def a_forecast(**fields: Any) -> Forecast:
    """1,000 texts of 50 tokens at 500 tokens a second: 100 s in 10 shards of 10 s."""
    default: dict[str, Any] = {
        "corpus": "c",
        "stage": "base",
        "documents": 1200,
        "texts": 1000,
        "shards": 10,
        "tokens": 50.0,
        "speed": 500.0,
        "vector_bytes": 1,
        "index_bytes": 1,
    }
    return Forecast(**{**default, **fields})


def a_sample(**fields: Any) -> Sample:
    default: dict[str, Any] = {
        "tokens": 50.0,
        "truncated": 0.0,
        "speeds": {2048: 100.0},
        "planned": 2048,
        "start": 5.0,
        "peak": 1000,
        "share": 1.0,
        "dim": 4,
    }
    return Sample(**{**default, **fields})


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7200), ("1d", 86400), ("0.5h", 1800), (" 3m ", 180)]
)
def test_a_deadline_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert parse_deadline(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "2 hours", "-1h", "0m", "1h30m", "2w", "1e3s", "nan s"])
def test_another_deadline_is_refused_with_the_value_and_what_to_write(text: str) -> None:
    with pytest.raises(PlanError, match=re.escape(f"--deadline {text!r}: write a number above 0 and s, m, h or d")):
        parse_deadline(text)


def test_a_worker_needs_the_tokens_of_what_is_left_at_its_speed() -> None:
    one = a_forecast()
    assert (one.seconds, one.shard_seconds) == (100.0, 10.0)
    assert a_forecast(texts=0).seconds == 0


def test_work_is_bounded_by_a_fair_share_and_the_longest_item() -> None:
    work = Work(total=100, longest=10, start=5)
    assert work.seconds(1) == 105  # nothing to share
    assert work.seconds(2) == 5 + 50 + 5
    assert work.seconds(10) == 5 + 10 + 9  # ten shards, ten workers: 15 would do if all are equal


@pytest.mark.parametrize(
    ("deadline", "workers"),
    [
        (1000, 1),
        (105, 1),  # one worker is ready just then
        (104.9, 2),
        (60, 2),  # (100 - 10) / (60 - 5 - 10) = 2 exactly
        (59, 3),  # 90 / 44 = 2.05
        (24, 10),  # 90 / 9
        (16, 90),
        (15, None),  # start and one shard take that long
        (3, None),
    ],
)
def test_workers_for_a_deadline_are_counted_up(deadline: float, workers: int | None) -> None:
    work = Work(total=100, longest=10, start=5)
    assert work.workers(deadline) == workers
    if workers is not None:
        assert work.seconds(workers) <= deadline
        assert workers == 1 or work.seconds(workers - 1) > deadline


def test_stages_of_a_pass_start_once_and_share_the_items() -> None:
    """Two stages of two corpora: c has shards of 10 s, d of 2 s; in one pass an item is a shard under both stages."""
    forecasts = [
        a_forecast(corpus=corpus, stage=stage, shards=shards)
        for corpus, shards in (("c", 10), ("d", 50))
        for stage in ("base", "broad")
    ]
    assert work_of(forecasts, 4, 3.0) == Work(total=400, longest=20, start=3)
    assert work_of(forecasts, 1, 3.0) == Work(total=400, longest=20, start=6)  # 10 in each of two passes


def test_what_is_in_the_store_needs_no_pass() -> None:
    forecasts = [a_forecast(texts=0), a_forecast(stage="broad")]
    assert work_of(forecasts, 1, 3.0) == Work(total=100, longest=10, start=3)
    assert work_of(forecasts[:1], 4, 3.0) == Work(total=0, longest=0, start=0)
    assert work_of(forecasts[:1], 4, 3.0).workers(1) == 1


def test_a_stage_that_keeps_its_last_step_has_two_embeddings() -> None:
    stages = {
        "broad": {"validation": {"every": 5, "keep": "both"}},
        "refine": {"from": "broad", "validation": {"every": 5}},
    }
    assert stages_of(RetrieverPlan.model_validate({"stages": stages})) == ["base", "broad", "broad-last", "refine"]


def test_candidate_budgets_begin_with_the_plans_and_hold_the_longest_text() -> None:
    assert budgets_for(256, 2048, False) == [2048, 1024, 4096]
    assert budgets_for(1500, 3000, False) == [3000, 1500, 2048, 4096]
    assert budgets_for(256, 32768, True) == [32768, 16384, 65536]


def test_another_budget_is_recommended_only_if_it_is_faster_by_more_than_noise() -> None:
    assert a_sample(speeds={2048: 100.0, 1024: 102.9}).best == 2048
    assert a_sample(speeds={2048: 100.0, 1024: 103.1}).best == 1024
    assert a_sample(speeds={2048: 100.0, 1024: 50.0}).best == 2048
    assert a_sample(speeds={None: 100.0}, planned=None).best is None


def test_further_models_of_a_pass_cost_their_weights(make_checkpoint: Any, tiny_model: Path) -> None:
    checkpoint = make_checkpoint("retriever", base=str(tiny_model))
    weights = checkpoint.files["model.safetensors"]["size"]
    assert peak_of(a_sample(), checkpoint, 1) == 1000
    assert peak_of(a_sample(), checkpoint, 3) == 1000 + 2 * weights


def test_an_index_has_its_fixed_part_once_a_file_and_once_more_untrained() -> None:
    assert Size(row=10.0, fixed=100.0).bytes(1000, 3) == 10_400


@pytest.mark.parametrize(
    ("factory", "row"),
    [
        ("Flat", 4 * 32),
        ("SQ8", 32),
        ("IVF16,Flat", 4 * 32 + 8),  # and the row's number
        ("IVF4096,SQ8", 32 + 8),
        ("PQ8", 8),
        ("BFlat", 32 / 8),
    ],
)
def test_bytes_a_vector_are_those_of_the_factory(factory: str, row: float) -> None:
    assert measure_index(32, IndexPlan(factory=factory)).row == pytest.approx(row, rel=0.01)


def test_dimensions_that_are_cut_off_take_no_room() -> None:
    assert measure_index(32, IndexPlan(dims=8)).row == pytest.approx(4 * 8)


def test_lists_are_counted_without_training_as_many(tmp_path: Path) -> None:
    """The centroids of 200 lists, from an index of 64, against a real one."""
    settings = IndexPlan(factory="IVF200,Flat")
    size = measure_index(32, settings)
    vectors = np.random.default_rng(1).standard_normal((8000, 32), dtype=np.float32)
    index = train_index(vectors, settings)
    fill(index, [vectors], settings)
    write(index, tmp_path / "index", settings)
    assert size.row * 8000 + size.fixed == pytest.approx((tmp_path / "index").stat().st_size, rel=0.001)


def test_a_factory_that_faiss_does_not_know_is_refused() -> None:
    with pytest.raises(PlanError, match=r"index\.factory 'Flut'"):
        measure_index(32, IndexPlan(factory="Flut"))


def test_a_worker_counts_what_the_model_reads(make_corpus: Any, make_checkpoint: Any, tiny_model: Path) -> None:
    """All of a small corpus is the sample: mean and truncated share are those of every document."""
    checkpoint = make_checkpoint("retriever", base=str(tiny_model), max_length=16)
    sample = measure(make_corpus(DOCUMENTS, shards=3), checkpoint, IndexPlan(), Workers())
    texts = [document_text(str(d["title"]), str(d["text"])) for d in DOCUMENTS]
    tokens = open_encoder(checkpoint).tokenise(texts, "document")
    assert sample.tokens == tokens.lengths.mean() and sample.truncated == tokens.truncated.mean()
    assert 0 < sample.truncated < 1
    assert (sample.planned, sorted(sample.speeds)) == (2048, [1024, 2048, 4096])
    assert sample.dim == 32 and all(speed > 0 for speed in sample.speeds.values())
    assert sample.start > 0 and sample.peak > 50 << 20  # torch alone takes more


def test_a_budget_below_the_longest_text_is_refused(make_corpus: Any, make_checkpoint: Any, tiny_model: Path) -> None:
    checkpoint = make_checkpoint("retriever", base=str(tiny_model))
    with pytest.raises(PlanError, match=r"index\.batch_tokens 8 is below max_length"):
        measure(make_corpus(DOCUMENTS), checkpoint, IndexPlan(batch_tokens=8), Workers())


def test_a_forecast_measures_once_a_corpus_and_finds_what_the_store_has(
    ray_cluster: None, store: Store, make_corpus: Any, make_checkpoint: Any
) -> None:
    """60 documents of the base: before, then in the store; after an eleventh changed, and one came twice."""
    checkpoint = make_checkpoint("retriever", base="hashing://64")
    workers, settings = Workers(workers=1), IndexPlan()

    def look(corpus: Corpus) -> dict[str, Forecast]:
        left = texts_left(store, {"c": corpus}, {"base": checkpoint, "broad": None}, settings)
        samples, forecasts = forecast(left, {"c": corpus}, checkpoint, settings, workers)
        assert set(samples) == {"c"}
        return {one.stage: one for one in forecasts}

    corpus = make_corpus(DOCUMENTS, shards=3)
    before = look(corpus)
    assert {stage: one.texts for stage, one in before.items()} == {"base": 60, "broad": 60}
    assert before["base"].vector_bytes == 60 * 64 * 2 and before["base"].shards == 3
    assert before["base"].index_bytes == pytest.approx(60 * 64 * 4, abs=200)
    request = EmbeddingRequest(texts=corpus, role="document", checkpoint=checkpoint, label="c")
    (embedding,) = embed(store, [request], settings, label="base", workers=workers, progress=Progress())
    assert embedding.meta["tokens"] == pytest.approx(60 * before["base"].tokens)
    assert {stage: one.texts for stage, one in look(corpus).items()} == {"base": 0, "broad": 60}
    changed = [*DOCUMENTS[:59], {"_id": "new", "title": "", "text": "new"}, {**DOCUMENTS[0], "_id": "again"}]
    after = look(make_corpus(changed, name="changed", shards=3))
    assert {stage: one.texts for stage, one in after.items()} == {"base": 1, "broad": 60}


def test_pace_is_tokens_by_time_and_needs_no_cluster() -> None:
    pace = Pace(Workers(workers=2), "base", 100, start=time.perf_counter() - 10)
    assert re.fullmatch(r"(100|99) tokens/s, 2 workers", pace.note({"rows": 10, "tokens": 1000}))
    assert re.fullmatch(r"(200|199) tokens/s, 2 workers", pace.note({"rows": 10, "tokens": 1000}))


@pytest.mark.slow  # Ray reports every ten seconds
def test_the_clusters_prometheus_endpoint_shows_pace(ray_cluster: None) -> None:
    import ray

    pace = Pace(Workers(workers=2), "a test", 100, start=time.perf_counter() - 10)
    for _ in range(3):
        pace.note({"rows": 10, "tokens": 1000})
    (node,) = ray.nodes()
    shown: dict[str, float] = {}
    give_up = time.monotonic() + 60
    while "embed_seconds_left" not in shown and time.monotonic() < give_up:
        time.sleep(1)
        with urlopen(f"http://127.0.0.1:{node['MetricsExportPort']}/metrics", timeout=10) as answer:
            lines = [line for line in answer.read().decode().splitlines() if 'embedding="a test"' in line]
        found = (re.match(r"ray_mixstage_(\w+){.*} (\S+)$", line) for line in lines)
        shown = {one[1]: float(one[2]) for one in found if one}
    assert (shown["embedded_texts_total"], shown["embedded_tokens_total"]) == (30, 3000)
    assert shown["embed_texts_left"] == 70 and shown["embed_workers"] == 2
    assert shown["embed_texts_per_second"] == pytest.approx(3, rel=0.1)
    assert shown["embed_tokens_per_second"] == pytest.approx(300, rel=0.1)
    assert shown["embed_seconds_left"] == pytest.approx(70 / 3, rel=0.1)
