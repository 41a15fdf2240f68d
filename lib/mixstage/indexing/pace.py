"""How fast embedding goes: said beside the progress, and shown to who watches the cluster."""

import time
from dataclasses import dataclass, field

from mixstage.cluster import Item, expose
from mixstage.stage_plan import Workers


@dataclass(slots=True)
class Pace:
    """Sums up what workers report. The driver exposes the sums: it outlives the workers and knows what is left."""

    workers: Workers
    label: str = ""  # what is embedded: the tag `embedding` of the metrics
    total: int = 0  # texts
    texts: int = 0
    tokens: int = 0
    start: float = field(default_factory=time.perf_counter)

    def note(self, summary: Item) -> str:
        """Called once a summary: {rows, tokens}."""
        self.texts += summary["rows"]
        self.tokens += summary["tokens"]
        seconds = max(time.perf_counter() - self.start, 1e-9)
        self._expose(summary, seconds)
        return f"{self.tokens / seconds:,.0f} tokens/s, {self.workers.workers} worker" + "s" * (
            self.workers.workers > 1
        )

    def _expose(self, summary: Item, seconds: float) -> None:
        left = max(0, self.total - self.texts)
        shown = {
            "embedded_texts_total": summary["rows"],
            "embedded_tokens_total": summary["tokens"],
            "embed_texts_per_second": self.texts / seconds,
            "embed_tokens_per_second": self.tokens / seconds,
            "embed_texts_left": left,
            "embed_seconds_left": left * seconds / max(1, self.texts),
            "embed_workers": self.workers.workers if left else 0,
        }
        for name, value in shown.items():
            expose(f"mixstage_{name}", value, {"embedding": self.label})
