"""The page's part on training: for each stage its sources, what mining found, the kept step, the loss curve."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import accumulate
from typing import Any

from mixstage.plan.stages import Component
from mixstage.report.charts.spec import figure
from mixstage.report.charts.training import Curve, training_chart
from mixstage.report.page.table import table
from mixstage.training.validation import MEASURE

_INTRO = (
    "<p>Mining looks at a source's queries: easy ones were left out because a judged document ranks high already, "
    "short ones because too few sure negatives were found. A suspect is an unjudged document that scores too near the "
    "positive to be a sure negative; the suspected rate is the share of such false negatives among the documents that "
    "mining without the filter would have used.</p>"
)


def training_part(training: Mapping[Component, Mapping[str, Mapping[str, Any]]]) -> str:
    """Every stage of both components; `training` is the report's."""
    parts = [_INTRO]
    for component, stages in training.items():
        parts.append(f"<h3>{component}</h3>")
        parts += [_stage(component, name, stage) for name, stage in stages.items()]
    return "".join(parts)


def _stage(component: Component, name: str, stage: Mapping[str, Any]) -> str:
    rounds = stage["rounds"]
    lines = [_origin(stage), *([_outcome(component, rounds), *_samples(rounds)] if rounds else [])]
    return (
        f"<section class=stage><h4>{escape(name)}</h4><div class=columns><div>{''.join(lines)}</div>"
        f"{_drawn(_curve(component, rounds), f'{component} {name}')}</div></section>"
    )


def _origin(stage: Mapping[str, Any]) -> str:
    code = f"checkpoint <code>{escape(stage['checkpoint'][:8])}</code>"
    if stage["soup"]:
        parts = ", ".join(f"{escape(name)} {weight:.0%}" for name, weight in stage["soup"].items())
        return f"<p>A soup, the weighted mean of {parts}; {code}</p>"
    if not stage["rounds"]:
        return f"<p>As the plan names it, untrained; {code}</p>"
    parents = ", ".join(escape(parent) for parent in stage["parents"]) or "a checkpoint that has left the store"
    adapter = f"yes, <code>{escape(stage['adapter'][:8])}</code>" if stage["adapter"] else "no"
    return f"<p>From {parents}; adapter: {adapter}; {code}</p>"


def _outcome(component: Component, rounds: Sequence[Mapping[str, Any]]) -> str:
    """Loss from first to last, and the kept step with its dev score, of the last round."""
    last = rounds[-1]
    loss = _points(last["curve"], "loss")
    told = [f"Round {len(rounds)} of {len(rounds)}, the earlier ones are in report.json"] if len(rounds) > 1 else []
    if loss:
        told.append(f"loss {loss[0][1]:.3g} at step {loss[0][0]:,.0f}, {loss[-1][1]:.3g} at step {loss[-1][0]:,.0f}")
    if last["step"] is not None:
        told.append(f"kept step {last['step']:,.0f}")
    told.append(_dev(component, last))
    line = "; ".join(told)
    return f"<p>{escape(line[:1].upper() + line[1:])}</p>"


def _dev(component: Component, trained: Mapping[str, Any]) -> str:
    rows: list[Mapping[str, Any]] = trained["measured"]
    found = next((row for row in rows if row.get("step") == trained["step"]), {})
    if "score" not in found:
        return "not measured on dev while it trained"
    own = ", ".join(f"{name} {value:.3f}" for name, value in found.items() if name not in ("step", "score"))
    return f"dev {MEASURE[component]} there {found['score']:.3f}" + (f" ({own})" if own else "")


def _samples(rounds: Sequence[Mapping[str, Any]]) -> list[str]:
    samples, ledger = rounds[-1]["samples"], rounds[-1]["ledger"]
    if samples is None:
        return ["<p class=soft>Its samples have left the store.</p>"]
    return [_sources(samples.get("sources", {})), _mining(samples.get("mining", {})), _ledger(ledger)]


def _sources(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    rows = [(source, f"{count:,}", f"{count / total:.0%}") for source, count in counts.items() if count]
    return table(("source", "samples", "share"), rows, texts=1, caption=f"{total:,} samples") if rows else ""


def _mining(mining: Mapping[str, Mapping[str, Any]]) -> str:
    counts = ("queries", "kept", "easy", "short", "suspects")
    rows = []
    for source, found in mining.items():
        rate = f"{found['suspected_rate']:.1%}" if "suspected_rate" in found else "–"
        rows.append((source, *(f"{found[key]:,}" if key in found else "–" for key in counts), rate))
    return table(("mined for", *counts, "suspected"), rows, texts=1) if rows else ""


def _ledger(ledger: Mapping[str, Any] | None) -> str:
    if ledger is None:
        return ""
    path = f"<p class=soft>Every negative and suspect: <code>{escape(ledger['path'])}</code></p>"
    rows = [
        (row["source"], row["query_id"], row["doc_id"], row["miner"], str(row["rank"]), *_scores(row))
        for row in ledger["first"]
    ]
    if not rows:
        return path
    head = ("source", "query", "document", "miner", "rank", "score", "positive's")
    summary = f"{ledger['suspects']:,} suspects; the {len(rows)} that score highest above the positive"
    return f"{path}<details><summary>{summary}</summary>{table(head, rows, texts=4)}</details>"


def _scores(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple("–" if row[key] is None else f"{row[key]:.3f}" for key in ("score", "positive_score"))


def _drawn(curve: Curve, title: str) -> str:
    spec = training_chart(curve)
    return (
        figure(spec, title, f"loss, and dev {curve.measure} (filled: kept)" if curve.scores else "loss") if spec else ""
    )


def _curve(component: Component, rounds: Sequence[Mapping[str, Any]]) -> Curve:
    """All rounds in a row, as if their steps had one count."""
    lengths = [max((step for step, _ in _points(one["curve"], "step")), default=0.0) for one in rounds]
    starts = [0.0, *accumulate(lengths)][: len(rounds)]
    kept = rounds[-1]["step"] if rounds else None
    return Curve(
        loss=_joined(rounds, starts, "curve", "loss"),
        scores=_joined(rounds, starts, "measured", "score"),
        measure=MEASURE[component],
        kept=None if kept is None else starts[-1] + kept,
        cuts=[start + 0.5 for start in starts[1:]],
    )


def _joined(
    rounds: Sequence[Mapping[str, Any]], starts: Sequence[float], table_name: str, value: str
) -> list[tuple[float, float]]:
    return [
        (start + step, found)
        for one, start in zip(rounds, starts, strict=True)
        for step, found in _points(one[table_name], value)
    ]


def _points(rows: Iterable[Mapping[str, Any]], value: str) -> list[tuple[float, float]]:
    """(step, value) of the rows that have both, as numbers: a diverged run notes a loss of NaN."""
    pairs = [(row["step"], row[value]) for row in rows if "step" in row and row.get(value) is not None]
    return [pair for pair in pairs if math.isfinite(pair[1])]
