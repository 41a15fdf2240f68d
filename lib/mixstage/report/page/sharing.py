"""The page's tables on several applications: what sharing costs, quality against cost, operating points."""

from collections.abc import Mapping, Sequence
from html import escape

from mixstage.insight.finding import interval, signed
from mixstage.report.contents import Timed
from mixstage.report.page.table import table
from mixstage.selection.front import OVERALL, Priced
from mixstage.selection.operating import OperatingPoint
from mixstage.selection.sharing import Sharing
from mixstage.stats.paired import Difference


def sharing_part(shared: Sharing, margin: float) -> str:
    """The smallest set of models in words, then what each application pays."""
    services, splits = shared.services, [one for one in (shared.dev, shared.test) if one is not None]
    sentence = (
        f"The winner runs {_models(services['winner'])}, each application's own best together {services['own']}. "
        f"The fewest that keep every application within {margin:g} of its own best on dev: {services['cover']} "
        f"({shared.models})."
    )
    how = (
        "Price: own best minus the winner, paired bootstrap; loss: own best minus what the application answers with in "
        "the smallest set. Dev chose each own best, so that its prices lean upward; test only informs."
    )
    rows = [
        (
            application,
            str(own),
            str(shared.assignment[application]),
            *(cell for split in splits for cell in _priced(split.price[application])),
            *(f"{split.loss[application]:.4f}" for split in splits),
        )
        for application, own in shared.own.items()
    ]
    head = ("application", "own best", "in the smallest set", "price, dev", "interval", "price, test", "interval")
    return f"<p>{escape(sentence)} {how}</p>{table((*head, 'loss, dev', 'loss, test'), rows, texts=3)}"


def front_part(front: Mapping[str, Sequence[Priced]], timed: Timed | None) -> str:
    """What nothing cheaper equals: over all applications in sight, each by itself behind a click."""
    sentence = "No answer was timed: the front is by pairs."
    if timed is not None:
        sample = ", ".join(f"{n} of {name}" for name, n in timed.queries.items())
        sentence = (
            f"p95: 95 % of some dev queries ({sample}), each answered alone on {timed.machine}, were faster; no "
            "network, no queue, a fusion's members one after the other. Over all applications it is the slowest one's."
        )
    how = (
        "On the front is what nothing cheaper equals on dev. Share: of bootstrap draws in which it is there; a low one "
        "says that chance put it on the front."
    )
    parts = [f"<p>{how} {escape(sentence)}</p>", _front_table("all applications", front[OVERALL])]
    own = "".join(_front_table(name, rows) for name, rows in front.items() if name != OVERALL)
    return "".join([*parts, f"<details><summary>Each application by itself</summary>{own}</details>"])


def operating_part(points: Sequence[OperatingPoint]) -> str:
    """A row an application and target; what the winner's retriever needs stands beside it."""
    if not points:
        return "<p>The rankings have left the store, or no application names a recall to reach.</p>"
    how = (
        "The smallest depth whose recall on dev reaches the target, whatever the grid's depths, and the retriever that "
        "reaches it there. A reranker of the whole depth scores as many pairs a query."
    )
    rows = [
        (
            point.application,
            point.name,
            point.retriever,
            f"{point.target:g}",
            "out of reach" if point.depth is None else str(point.depth),
            f"{point.recall:.3f}",
            f"{point.recall_test:.3f}",
            _needs(point),
        )
        for point in points
    ]
    head = ("application", "operating point", "retriever", "target", "depth", "recall, dev", "recall, test")
    return f"<p>{how}</p>{table((*head, 'the winner’s retriever'), rows, texts=3)}"


def _needs(point: OperatingPoint) -> str:
    if point.winner_depth is None:
        return f"{point.winner} ends at {point.winner_recall:.3f}"
    return f"{point.winner} needs {point.winner_depth}"


def _front_table(caption: str, rows: Sequence[Priced]) -> str:
    """Equals in quality and both costs, such as one retriever alone at several depths, share a line."""
    lines: dict[tuple[float, int, float], list[Priced]] = {}
    for row in rows:
        if row.on_front or row.on_pairs_front:
            lines.setdefault((row.p95_ms or 0, row.pairs, -row.mean), []).append(row)
    cells = []
    for _, (row, *equals) in sorted(lines.items(), key=lambda line: line[0]):
        more = f" and {len(equals)} equal" if equals else ""
        p95 = "" if row.p95_ms is None else f"{row.p95_ms:.1f}"
        on = _on(row.on_front, row.share), _on(row.on_pairs_front, row.pairs_share)
        cells.append((f"{row.composition}{more}", f"{row.mean:.4f}", p95, on[0], str(row.pairs), on[1]))
    head = ("composition", "dev mean", "p95, ms", "on its front", "pairs", "on its front")
    return table(head, cells, texts=1, caption=caption)


def _on(is_on: bool, share: float) -> str:
    return f"{'yes' if is_on else 'no'}, {share:.0%}"


def _priced(price: Difference) -> tuple[str, str]:
    return signed(price.mean), interval(price)


def _models(count: int) -> str:
    return f"{count} model{'s' * (count > 1)}"
