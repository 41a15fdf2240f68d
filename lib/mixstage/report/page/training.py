"""The page's part on training: for each stage its sources, what mining found, the kept step, the loss curve."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import accumulate

from mixstage.plan.stages import Component
from mixstage.report.charts.spec import figure
from mixstage.report.charts.training import Curve, training_chart
from mixstage.report.contents import Notes
from mixstage.report.page.table import table
from mixstage.report.training import Ledger, Row, Run, Stage
from mixstage.training.validation import MEASURE

_INTRO = (
    "<p>Mining looks at a source's queries: easy ones were left out because a judged document ranks high already, "
    "short ones because too few sure negatives were found. A suspect is an unjudged document that scores too near the "
    "positive to be a sure negative; the suspected rate is the share of such false negatives among the documents that "
    "mining without the filter would have used.</p>"
)


def training_part(training: Mapping[Component, Mapping[str, Stage]]) -> str:
    """Every stage of both components, by its name."""
    parts = [_INTRO]
    for component, stages in training.items():
        parts.append(f"<h3>{component}</h3>")
        parts += [_stage(component, name, stage) for name, stage in stages.items()]
    return "".join(parts)


def _stage(component: Component, name: str, stage: Stage) -> str:
    rounds = stage.rounds
    lines = [_origin(stage), *([_outcome(component, rounds), *_samples(rounds)] if rounds else [])]
    return (
        f"<section class=stage><h4>{escape(name)}</h4><div class=columns><div>{''.join(lines)}</div>"
        f"{_drawn(_curve(component, rounds), f'{component} {name}')}</div></section>"
    )


def _origin(stage: Stage) -> str:
    code = f"checkpoint <code>{escape(stage.checkpoint[:8])}</code>"
    if stage.soup:
        parts = ", ".join(f"{escape(name)} {weight:.0%}" for name, weight in stage.soup.items())
        return f"<p>A soup, the weighted mean of {parts}; {code}</p>"
    if not stage.rounds:
        return f"<p>As the plan names it, untrained; {code}</p>"
    parents = ", ".join(escape(parent) for parent in stage.parents) or "a checkpoint that has left the store"
    adapter = f"yes, <code>{escape(stage.adapter[:8])}</code>" if stage.adapter else "no"
    return f"<p>From {parents}; adapter: {adapter}; {code}</p>"


def _outcome(component: Component, rounds: Sequence[Run]) -> str:
    """Loss from first to last, and the kept step with its dev score, of the last round."""
    last = rounds[-1]
    loss = _points(last.curve, "loss")
    parts = [f"Round {len(rounds)} of {len(rounds)}, the earlier ones are in report.json"] if len(rounds) > 1 else []
    if loss:
        parts.append(f"loss {loss[0][1]:.3g} at step {loss[0][0]:,.0f}, {loss[-1][1]:.3g} at step {loss[-1][0]:,.0f}")
    if last.step is not None:
        parts.append(f"kept step {last.step:,.0f}")
    parts.append(_dev(component, last))
    line = "; ".join(parts)
    return f"<p>{escape(line[:1].upper() + line[1:])}</p>"


def _dev(component: Component, trained: Run) -> str:
    kept: Row = next((row for row in trained.measured if row.get("step") == trained.step), {})
    if kept.get("score") is None:
        return "not measured on dev while it trained"
    own = ", ".join(f"{name} {value:.3f}" for name, value in kept.items() if name not in ("step", "score"))
    return f"dev {MEASURE[component]} there {kept['score']:.3f}" + (f" ({own})" if own else "")


def _samples(rounds: Sequence[Run]) -> list[str]:
    samples = rounds[-1].samples
    if samples is None:
        return ["<p class=soft>Its samples have left the store.</p>"]
    return [_sources(samples.get("sources", {})), _mining(samples.get("mining", {})), _ledger(rounds[-1].ledger)]


def _sources(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    rows = [(source, f"{count:,}", f"{count / total:.0%}") for source, count in counts.items() if count]
    return table(("source", "samples", "share"), rows, texts=1, caption=f"{total:,} samples") if rows else ""


def _mining(mining: Mapping[str, Notes]) -> str:
    counts = ("queries", "kept", "easy", "short", "suspects")
    rows = []
    for source, notes in mining.items():
        rate = f"{notes['suspected_rate']:.1%}" if "suspected_rate" in notes else "–"
        rows.append((source, *(f"{notes[key]:,}" if key in notes else "–" for key in counts), rate))
    return table(("mined for", *counts, "suspected"), rows, texts=1) if rows else ""


def _ledger(ledger: Ledger | None) -> str:
    if ledger is None:
        return ""
    path = f"<p class=soft>Every negative and suspect: <code>{escape(ledger.path)}</code></p>"
    rows = [
        (
            *(row.source, row.query_id, row.doc_id, row.miner, str(row.rank)),
            *("–" if score is None else f"{score:.3f}" for score in (row.score, row.positive_score)),
        )
        for row in ledger.first
    ]
    if not rows:
        return path
    head = ("source", "query", "document", "miner", "rank", "score", "positive's")
    summary = f"{ledger.suspects:,} suspects; the {len(rows)} that score highest above the positive"
    return f"{path}<details><summary>{summary}</summary>{table(head, rows, texts=4)}</details>"


def _drawn(curve: Curve, title: str) -> str:
    spec = training_chart(curve)
    return (
        figure(spec, title, f"loss, and dev {curve.measure} (filled: kept)" if curve.scores else "loss") if spec else ""
    )


def _curve(component: Component, rounds: Sequence[Run]) -> Curve:
    """All rounds in a row, as if their steps had one count."""
    lengths = [max((step for step, _ in _points(one.curve, "step")), default=0.0) for one in rounds]
    starts = [0.0, *accumulate(lengths)][: len(rounds)]
    kept = rounds[-1].step if rounds else None
    return Curve(
        loss=_joined(starts, [_points(one.curve, "loss") for one in rounds]),
        scores=_joined(starts, [_points(one.measured, "score") for one in rounds]),
        measure=MEASURE[component],
        kept=None if kept is None else starts[-1] + kept,
        cuts=[start + 0.5 for start in starts[1:]],
    )


def _joined(starts: Sequence[float], rounds: Sequence[Sequence[tuple[float, float]]]) -> list[tuple[float, float]]:
    return [(start + step, value) for start, points in zip(starts, rounds, strict=True) for step, value in points]


def _points(rows: Iterable[Row], name: str) -> list[tuple[float, float]]:
    """(step, value) of the rows that have both, as numbers: a diverged run notes a loss of NaN."""
    pairs = [(row.get("step"), row.get(name)) for row in rows]
    return [(step, value) for step, value in pairs if step is not None and value is not None and math.isfinite(value)]
