"""Serves `/metrics` on a port of its own, in a thread, while a gate is served.

The library's registry of the process is not used: what is shown is what is collected here. A part
that cannot be collected is left out, named by `sovereign_metrics_missing`, and spoils no other.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from portal.configuration import listener
from portal.configuration.sources import SettingError
from portal.operations.settings import Settings

Part = Callable[[], Iterable[Any]]  # metric families of prometheus_client
_LOG = logging.getLogger("sovereign")


class _Collector:
    """Collects every part anew at each scrape."""

    def __init__(self, parts: Mapping[str, Part]) -> None:
        self._parts = parts

    def describe(self) -> Iterable[Any]:
        """Nothing: the library would collect once at the start to check names."""
        return ()

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        missing = GaugeMetricFamily(
            "sovereign_metrics_missing",
            "1 if a part of these metrics could not be collected",
            labels=["part"],
        )
        for name, part in self._parts.items():
            try:
                found = [*part()]
            except Exception as error:  # noqa: BLE001 - whatever it was, the other parts are shown
                _LOG.warning("metrics of %s are missing: %s", name, type(error).__name__)
                missing.add_metric([name], 1)
            else:
                missing.add_metric([name], 0)
                yield from found
        yield missing


@contextmanager
def serving(settings: Settings, parts: Mapping[str, Part]) -> Iterator[None]:
    """Serve the metrics while the context lasts, where the settings say. Raises SettingError."""
    from prometheus_client import CollectorRegistry, start_http_server

    host, port = listener.address(settings.metrics_listen)
    registry = CollectorRegistry()
    registry.register(_Collector(parts))
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise SettingError(
            f"metrics_listen: cannot listen on {host}, port {port}: {error.strerror or error}."
            " Free the port, or set another"
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
