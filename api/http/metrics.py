"""Counts and durations of requests, for Prometheus.

Each application has its own registry, so that two in one process (tests) do not share counts. Labels are route
templates, never paths: each id would make its own series.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from starlette.types import Scope

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The counters of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "playbook_http_requests", "Answered requests", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "playbook_http_request_seconds", "Time to answer", ["method", "route"], registry=self._registry
        )

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one answered request."""
        route: str = getattr(scope.get("route"), "path", "unmatched")
        method: str = scope["method"] if scope["method"] in _METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def render(self) -> bytes:
        """Return the text that Prometheus scrapes."""
        return generate_latest(self._registry)


_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"})
