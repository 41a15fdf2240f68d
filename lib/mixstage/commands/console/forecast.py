"""What `mixstage index --dry-run` prints: what is there to read, what will be made, and how many workers it takes."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from rich.table import Table

from mixstage.cluster import room_for
from mixstage.errors import AbsentError
from mixstage.index.forecast import (
    Forecast,
    Key,
    Work,
    forecast,
    parse_deadline,
    peak_of,
    stages_of,
    texts_left,
    unfilled,
    work_of,
)
from mixstage.index.forecast_worker import Sample
from mixstage.models.base import export_base
from mixstage.models.checkpoint import Checkpoint
from mixstage.pipeline import Pipeline
from mixstage.plan.schema import Plan
from mixstage.store.store import FoundOnly
from mixstage.training.curriculum import Curriculum

_BUSY = 0.7  # share of its CPUs; two threads of one model use 0.85 to 0.95 of two
_UNITS = (("d", 86400.0), ("h", 3600.0), ("min", 60.0))
_BYTES = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def print_forecast(pipeline: Pipeline, deadline: str | None) -> None:
    """Prepares the corpora, measures on a sample of each and says what indexing will take; nothing is embedded.

    Where the store holds every vector there is nothing to measure. deadline: such as "2h"; raises PlanError for one
    that is not a time.
    """
    limit = None if deadline is None else parse_deadline(deadline)
    plan, corpora = pipeline.plan, pipeline.prepared.corpora
    base = export_base(plan, pipeline.store, "retriever")
    stages = {"base": base, **dict.fromkeys(stages_of(plan.retriever)), **trained_stages(pipeline)}
    left = texts_left(pipeline.store, corpora, stages, plan.index)
    if not any(left.values()):
        pipeline.progress.say(_nothing_line(unfilled(pipeline.store, corpora, stages, plan.index), left))
        return
    pipeline.progress.say("measuring on a sample of each corpus, about a minute each")
    samples, forecasts = forecast(left, corpora, base, plan.index, plan.resources.embed)
    console = pipeline.progress.console
    console.print(_read_table(samples, forecasts))
    console.print(_made_table(forecasts))
    for line in _lines(plan, base, samples, forecasts, limit):
        pipeline.progress.say(line)


def trained_stages(pipeline: Pipeline) -> dict[str, Checkpoint]:
    """Retriever stages whose checkpoints the store holds; nothing is trained to know it."""
    curriculum = Curriculum(prepared=replace(pipeline.prepared, store=FoundOnly(pipeline.store.uri)))
    for name in pipeline.plan.retriever.stages:
        with suppress(AbsentError):
            curriculum.checkpoint("retriever", name)
    return curriculum.retrievers


def _nothing_line(unfilled: Sequence[Key], left: Collection[Key]) -> str:
    if not unfilled:
        return f"Nothing to do: {len(left)} indexes are in the store, with the vectors that they are made of"
    named = ", ".join(f"{corpus} x {stage}" for corpus, stage in unfilled)
    return (
        f"Nothing to embed: every vector is in the store. Indexes are still to be filled for {named}: minutes, no more"
    )


def _read_table(samples: dict[str, Sample], forecasts: Sequence[Forecast]) -> Table:
    table = _table("What is read", "corpus", "documents", "tokens", "a document", "truncated", "shards", "tokens/s")
    for one in forecasts:
        if one.stage == "base":
            sample = samples[one.corpus]
            whole, share = f"{one.documents * one.tokens:,.0f}", f"{sample.truncated:.1%}"
            speed = f"{one.speed:,.0f}"
            table.add_row(one.corpus, f"{one.documents:,}", whole, f"{one.tokens:.1f}", share, f"{one.shards:,}", speed)
    return table


def _made_table(forecasts: Sequence[Forecast]) -> Table:
    table = _table("What is made", "corpus", "retriever", "texts to embed", "one worker", "vectors", "index")
    for one in forecasts:
        texts, seconds = ("in the store", "") if not one.texts else (f"{one.texts:,}", duration(one.seconds))
        table.add_row(one.corpus, one.stage, texts, seconds, size(one.vector_bytes), size(one.index_bytes))
    vectors, indexes = (sum(getattr(one, name) for one in forecasts) for name in ("vector_bytes", "index_bytes"))
    texts = f"{sum(one.texts for one in forecasts):,}"
    seconds = duration(sum(one.seconds for one in forecasts))
    table.add_row("together", "", texts, seconds, size(vectors), size(indexes), style="bold")
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    for name in columns:
        is_text = name in ("corpus", "retriever")
        table.add_column(name, no_wrap=True, justify="left" if is_text else "right")
    return table


def _lines(
    plan: Plan, checkpoint: Checkpoint, samples: dict[str, Sample], forecasts: Sequence[Forecast], limit: float | None
) -> Iterator[str]:
    stages = list(dict.fromkeys(one.stage for one in forecasts))
    models = min(plan.index.stages_per_pass, len(stages))
    start = max(sample.start for sample in samples.values())
    peak = max(peak_of(sample, checkpoint, models) for sample in samples.values())
    held = f"{models} models at once" if models > 1 else "its model"
    cpus = plan.resources.embed.cpus
    yield f"A worker of {cpus} CPU: opens a model in {duration(start)}, takes {size(peak)} with {held}"
    yield from _budget_lines(samples)
    share = min(sample.share for sample in samples.values())
    if share < _BUSY and not plan.resources.embed.gpus:
        yield f"The machine was busy: the worker got {share:.0%} of its CPUs; alone it would be faster"
    work = work_of(forecasts, plan.index.stages_per_pass, start)
    workers, room = plan.resources.embed.workers, room_for(plan.resources.embed)
    present = f"; there is room for {room} at once" if room < workers else ""
    seconds = duration(work.seconds(min(workers, room)))
    yield f"As planned, resources.embed.workers={workers}{present}: at most {seconds}"
    if limit is not None:
        yield deadline_line(work, limit, room)
    yield (
        "Measured with the base retriever, one worker at a time. Not counted: training, applications' queries, filling "
        "FAISS files, BM25"
    )


def _budget_lines(samples: dict[str, Sample]) -> Iterator[str]:
    for corpus, sample in samples.items():
        if len(sample.speeds) > 1:
            speeds = ", ".join(f"{budget}: {speed:,.0f}" for budget, speed in sorted(_known(sample).items()))
            advice = (
                "is as good as any"
                if sample.best == sample.planned
                else f"is slower: set index.batch_tokens={sample.best}"
            )
            yield f"{corpus}, tokens/s by index.batch_tokens: {speeds}; {sample.planned} (as planned) {advice}"


def _known(sample: Sample) -> dict[int, float]:
    return {budget: speed for budget, speed in sample.speeds.items() if budget is not None}


def deadline_line(work: Work, limit: float, room: int) -> str:
    """How many workers meet it, or what stands against it. room: workers that this machine or cluster runs at once."""
    workers, ready = work.workers(limit), f"To be ready in {duration(limit)}"
    if workers is None:
        least = f"opening models takes {duration(work.start)}, the longest shards {duration(work.longest)}"
        return f"{ready}: no number of workers is enough, {least}; lower corpora.NAME.shard_kib"
    if workers > room:
        have = f"there is room for {room}, with which it takes at most {duration(work.seconds(room))}"
        return f"{ready}: {workers} workers, which takes a larger cluster; {have}"
    return f"{ready}: --set resources.embed.workers={workers}"


def duration(seconds: float) -> str:
    """12.3 -> "12 s", 90 -> "1.5 min", 7200 -> "2.0 h"."""
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def size(count: float) -> str:
    """Bytes: 1_234_567 -> "1.2 MB"."""
    for unit, length in _BYTES:
        if count >= length:
            return f"{count / length:.1f} {unit}"
    return f"{count:.0f} B"
