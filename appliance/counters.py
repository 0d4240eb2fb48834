"""What is counted for ``/metrics``, in Prometheus' text format: figures of the machine and the model, and no texts.

The sole importer of prometheus_client.
"""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from appliance.exchange import Usage

_SECONDS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300)

disable_created_metrics()  # type: ignore[no-untyped-call]


class Counters:
    """Counts requests; asks for everything else when it is looked at. Any thread may call it."""

    def __init__(self, gauges: Callable[[], Mapping[str, float | None]]) -> None:
        """Begin at zero.

        Args:
            gauges: figures of the moment by name, without ``fieldpost_``; None is what nobody knows, and is left out.
        """
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "fieldpost_requests", "Requests to the model, by how they ended.", ["finish"], registry=self._registry
        )
        self._tokens = Counter("fieldpost_tokens", "Tokens, by what they were.", ["kind"], registry=self._registry)
        self._first = Histogram(
            "fieldpost_first_token_seconds",
            "From a request to its first token, waiting included.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._whole = Histogram(
            "fieldpost_answer_seconds",
            "From the beginning of an answer to its end.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._registry.register(_Moment(gauges))

    def note(self, usage: Usage | None, first_s: float) -> None:
        """Count one request; see ``engine.counted.Note``."""
        self._requests.labels("failed" if usage is None else usage.finish).inc()
        if usage is None:
            return
        self._first.observe(first_s)
        self._whole.observe(usage.total_s)
        for kind, count in (
            ("prompt", usage.prompt_tokens),
            ("cached", usage.cached_tokens),
            ("generated", usage.generated_tokens),
            ("thinking", usage.thinking_tokens),
        ):
            self._tokens.labels(kind).inc(count)

    def page(self) -> bytes:
        """All of it as text, version 0.0.4 of the format."""
        return generate_latest(self._registry)


class _Moment(Collector):
    """Figures of the moment."""

    def __init__(self, gauges: Callable[[], Mapping[str, float | None]]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        for name, value in self._gauges().items():
            if value is not None:
                yield GaugeMetricFamily(f"fieldpost_{name}", name.replace("_", " "), value=value)
