"""What a service counts, for Prometheus. No label names a person, a key or an address."""

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

MEDIA = CONTENT_TYPE_LATEST

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Metrics:
    """Counters of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "oneshot_requests", "Requests answered.", ("method", "route", "status"), registry=self._registry
        )
        self.seconds = Histogram(
            "oneshot_request_seconds",
            "From a request's head to the end of its answer.",
            ("route",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self.run_seconds = Histogram(
            "oneshot_run_seconds", "Of the network's runs.", buckets=SECONDS, registry=self._registry
        )
        self.batch = Histogram(
            "oneshot_batch_pictures",
            "Pictures in one run.",
            buckets=(1, 2, 3, 4, 5, 6, 7, 8, 16, 32),
            registry=self._registry,
        )
        self.faces = Counter("oneshot_faces", "Faces found.", registry=self._registry)
        self.inside = Gauge("oneshot_requests_inside", "Being answered now.", registry=self._registry)

    def text(self) -> bytes:
        """All of them in Prometheus' text form, whose media type is MEDIA."""
        return generate_latest(self._registry)
