"""How fast embedding goes."""

import time
from dataclasses import dataclass, field

from mixstage.cluster import Item
from mixstage.stage_plan import Workers


@dataclass(slots=True)
class Pace:
    """Sums up what workers report and says it."""

    workers: Workers
    tokens: int = 0
    start: float = field(default_factory=time.perf_counter)

    def note(self, summary: Item) -> str:
        """Called once a summary: {tokens}."""
        self.tokens += summary["tokens"]
        rate = self.tokens / (time.perf_counter() - self.start)
        return f"{rate:,.0f} tokens/s, {self.workers.workers} worker" + "s" * (self.workers.workers > 1)
