"""Figures for Prometheus, in a registry of this application's own."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30)


class Metrics:
    """Counts requests; shows the figures that it is given."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        labels = ["method", "route", "status"]
        self._requests = Counter("skep_http_requests", "HTTP requests answered.", labels, registry=self._registry)
        self._durations = Histogram(
            "skep_http_request_duration_seconds",
            "Time from a request's head to its answer's end.",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._gauges: dict[str, Gauge] = {}

    def request(self, method: str, route: str, status: int, duration_s: float) -> None:
        """Count a request under its route's template, never under its path."""
        known = method if method in _METHODS else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._durations.labels(known, route).observe(duration_s)

    def show(self, figures: Mapping[str, Mapping[str, float]]) -> None:
        """Set the gauges: name -> state -> count; a state that is left out is 0."""
        for name, states in figures.items():
            gauge = self._gauges.get(name)
            if gauge is None:
                words = name.removeprefix("skep_").replace("_", " ")
                gauge = self._gauges[name] = Gauge(name, f"{words}, by state.", ["state"], registry=self._registry)
            gauge.clear()
            for state, count in states.items():
                gauge.labels(state).set(count)

    def text(self) -> bytes:
        """Return the exposition."""
        return generate_latest(self._registry)
