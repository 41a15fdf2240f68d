"""What the gateway counts, in Prometheus' format.

Each replica counts its own requests: a scrape through the proxy meets any of them. With several gateway replicas, rates
and percentiles over all come from Serve's own metrics, which every node exports; these tell applications and phases
apart.
"""

from collections.abc import Mapping
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import Scope

_SECONDS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
UNKNOWN: Final = "unknown"  # a name or path that a caller invented would be a series of its own, for ever


class Meter:
    """Counts requests and times searches."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._all = CollectorRegistry()
        labels = ["route", "application", "status"]
        self._requests = Counter("mixstage_requests", "Requests answered", labels, registry=self._all)
        self._seconds = Histogram(
            "mixstage_search_seconds",
            "Time of a search, by phase",
            ["application", "phase"],
            registry=self._all,
            buckets=_SECONDS,
        )
        self.in_flight = Gauge("mixstage_in_flight", "Requests being answered", registry=self._all)

    def count(self, scope: Scope, status: int) -> None:
        """A request that has ended. Its route is the path's pattern; its application, if any, is in the state."""
        route = getattr(scope.get("route"), "path", UNKNOWN)
        self._requests.labels(route, scope["state"].get("application", ""), status).inc()

    def took(self, application: str, milliseconds: Mapping[str, float]) -> None:
        """A search that was answered, phase by phase."""
        for phase, spent in milliseconds.items():
            self._seconds.labels(application, phase).observe(spent / 1000)

    def text(self) -> bytes:
        return generate_latest(self._all)
