"""A stage's loss over its steps and, on a scale of its own, what dev said of its checkpoints: one inline SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

Points = Sequence[tuple[float, float]]  # (step, value), by step
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 310, 26, 136  # the plot inside 360 x 160
_DRAWN = 200  # points of a line: more than the plot has room for only make the page heavy


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What one drawing shows."""

    name: str  # unique in the page
    title: str
    loss: Points
    scores: Points
    measure: str  # of the scores
    kept: float | None  # step of the checkpoint that was kept
    cuts: Sequence[float]  # between the steps of two rounds


@dataclass(frozen=True, slots=True)
class _Scale:
    """Values low..high to coordinates start..end; a single value lies in the middle."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.start + share * (self.end - self.start)

    def labels(self, x: float, style: str, places: str) -> str:
        """The end values beside the plot, one if they are the same."""
        ends = sorted({self.low, self.high})
        return "".join(f'<text x="{x}" y="{self(v) + 4:.1f}" {style}>{v:{places}}</text>' for v in ends)


def draw(chart: Chart) -> str:
    """The SVG with title and description; nothing where there is nothing to draw."""
    steps = [step for step, _ in (*chart.loss, *chart.scores)]
    if not steps:
        return ""
    across = _Scale(min(steps), max(steps), _LEFT, _RIGHT)
    names = f'aria-labelledby="{chart.name}-t {chart.name}-d"'
    return (
        f'<svg class=curve viewBox="0 0 360 160" role="img" {names}>'
        f'<title id="{chart.name}-t">{escape(chart.title)}</title><desc id="{chart.name}-d">{_describe(chart)}</desc>'
        f'<path class=frame d="M{_LEFT} {_TOP}V{_BOTTOM + 6}H{_RIGHT}V{_TOP}"/>'
        f"{''.join(_cut(across(step)) for step in chart.cuts)}{_steps(across)}"
        f"{_loss(chart.loss, across)}{_scores(chart, across)}</svg>"
    )


def _describe(chart: Chart) -> str:
    told = []
    for name, points in (("loss", chart.loss), (f"dev {chart.measure}", chart.scores)):
        if points:
            (first, start), (last, end) = points[0], points[-1]
            told.append(f"{name} from {start:.3g} at step {first:,.0f} to {end:.3g} at step {last:,.0f}")
    return escape("; ".join(told))


def _cut(x: float) -> str:
    return f'<path class=cut d="M{x:.1f} {_TOP}V{_BOTTOM + 6}"/>'


def _steps(across: _Scale) -> str:
    if across.low == across.high:
        return f'<text x="{across(across.low)}" y="157" text-anchor="middle">step {across.low:,.0f}</text>'
    return (
        f'<text x="{_LEFT}" y="157">step {across.low:,.0f}</text>'
        f'<text x="{_RIGHT}" y="157" text-anchor="end">step {across.high:,.0f}</text>'
    )


def _loss(points: Points, across: _Scale) -> str:
    if not points:
        return ""
    up = _up(points)
    thin = [*points[: -1 : -(-len(points) // _DRAWN)], points[-1]]
    line = " ".join(f"{across(step):.1f},{up(value):.1f}" for step, value in thin)
    dot = f'<circle class=loss cx="{across(points[0][0]):.1f}" cy="{up(points[0][1]):.1f}" r="2.5"/>'
    drawn = f'<polyline class=loss points="{line}"/>' if len(points) > 1 else dot
    ends = up.labels(_LEFT - 6, 'text-anchor="end"', ".3g")
    return f'{drawn}<text x="{_LEFT}" y="13">— loss</text>{ends}'


def _scores(chart: Chart, across: _Scale) -> str:
    if not chart.scores:
        return ""
    up = _up(chart.scores)
    dots = (
        f'<circle class="dev{" kept" * (step == chart.kept)}" cx="{across(step):.1f}" cy="{up(value):.1f}" r="4"/>'
        for step, value in chart.scores
    )
    sign = f'<text class=dev x="{_RIGHT}" y="13" text-anchor="end">○ dev {escape(chart.measure)}, ● kept</text>'
    return f"{''.join(dots)}{sign}{up.labels(_RIGHT + 10, 'class=dev', '.3f')}"


def _up(points: Points) -> _Scale:
    values = [value for _, value in points]
    return _Scale(min(values), max(values), _BOTTOM, _TOP + 6)
