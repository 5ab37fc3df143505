"""The metrics of the product, each read at the moment it is scraped.

    sovereign_decisions_total{service,reason}      decisions that were logged
    sovereign_request_seconds{path}                histogram of requests to the gate
    sovereign_ledger_entries                       entries of the consent log
    sovereign_state_lag_entries                    of these, not yet in the gate's consent state
    sovereign_read_log_entries                     entries of the read log that this process writes
    sovereign_publication_age_seconds              since the public logs were last written
    sovereign_job_failures{job}                    in a row
    sovereign_job_healthy{job}                     1, or 0 if it fails, is overdue or has stopped
    sovereign_job_age_seconds{job}                 since its last success
    sovereign_notices{state}                       notices that wait, and that failed (`dead`)
    sovereign_privacy_budget_left_rho{scene}       of this calendar year
    sovereign_key_age_seconds{key}                 since the file of a private key was written
    sovereign_certificate_left_seconds{file}       until the first root in timestamp_roots ends

`prometheus_client` is imported where it is used: only processes that show metrics load it.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from gate.http.serving.latency import Histogram, Timed
from gate.reads.counts import DecisionCounts
from gate.reads.point import Gate
from ledger import clock
from ledger.service import Ledger
from portal.operations import release_service
from portal.operations.job_results import DEGRADED, Snapshot
from portal.operations.metrics.exposition import Part
from portal.operations.readiness.checks import last_publication
from portal.operations.settings import Settings
from portal.operations.wiring import Product
from steward.notify.outbox import Outbox
from synthetic.privacy import budget_ledger

KEYS = ("keys/consent.key", "keys/state.key", "keys/map.key", "keys/kek")
Jobs = Callable[[], Snapshot]


class Sized(Protocol):
    @property
    def size(self) -> int: ...


def of_gate(
    gate: Gate, ledger: Sized, settings: Settings, timed: Timed, jobs: Jobs
) -> dict[str, Part]:
    """What every process that serves a gate shows. Decisions are counted from now on."""
    counts = DecisionCounts()
    gate.journal.subscribe(counts.see)
    return {
        "decisions": lambda: _decisions(counts),
        "requests": lambda: _requests(timed.histograms),
        "ledger": lambda: _ledger(gate, ledger),
        "publication": lambda: _publication(jobs()),
        "keys": lambda: _keys(settings.data_dir, settings.timestamp_roots),
    }


def of_portal(product: Product, timed: Timed, jobs: Jobs) -> dict[str, Part]:
    """The same, and what only the writer of the ledger knows."""
    ledger, outbox = product.ledger, Outbox(product.home)
    return {
        **of_gate(product.gate, ledger, product.settings, timed, jobs),
        "jobs": lambda: _jobs(jobs()),
        "notices": lambda: _notices(outbox),
        "budget": lambda: _budget(ledger, product),
    }


def _gauge(name: str, text: str, values: Mapping[str, float], label: str = "") -> Any:
    """`values`: by the label's value; without a label, of ""."""
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(f"sovereign_{name}", text, labels=[label] if label else [])
    for key, value in values.items():
        family.add_metric([key] if label else [], value)
    return family


def _decisions(counts: DecisionCounts) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(
        "sovereign_decisions", "Decisions that were logged", labels=["service", "reason"]
    )
    for (service, reason), number in sorted(counts.counts().items()):
        family.add_metric([service, str(reason)], number)
    yield family


def _requests(histograms: Mapping[str, Histogram]) -> Iterator[Any]:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(
        "sovereign_request_seconds",
        "Seconds from a request's head to its answer's end",
        labels=["path"],
    )
    for path, each in histograms.items():
        family.add_metric([path], each.cumulative(), each.seconds)
    yield family


def _ledger(gate: Gate, ledger: Sized) -> Iterator[Any]:
    applied, size = gate.applied, ledger.size
    lag = max(size - applied, 0)
    yield _gauge("ledger_entries", "Entries of the consent log", {"": size})
    yield _gauge("state_lag_entries", "Entries that the gate has not applied yet", {"": lag})
    entries = {"": gate.journal.log.size}
    yield _gauge("read_log_entries", "Entries of the read log of this process", entries)


def _publication(jobs: Snapshot) -> Iterator[Any]:
    last = last_publication(jobs)
    values = {} if last is None else {"": _age(last)}
    yield _gauge("publication_age_seconds", "Since the public logs were last written", values)


def _jobs(jobs: Snapshot) -> Iterator[Any]:
    known, health = jobs.jobs, jobs.health(clock.now())
    failures = {name: float(each.failures) for name, each in known.items()}
    healthy = {name: float(each not in DEGRADED) for name, each in health.items()}
    ages = {name: _age(each.last_success) for name, each in known.items() if each.last_success}
    yield _gauge("job_failures", "Failures of a job in a row", failures, "job")
    yield _gauge("job_healthy", "0 if a job fails, is overdue or has stopped", healthy, "job")
    yield _gauge("job_age_seconds", "Since a job last succeeded", ages, "job")


def _notices(outbox: Outbox) -> Iterator[Any]:
    counts = {str(state): float(number) for state, number in outbox.counts().items()}
    yield _gauge("notices", "Notices that wait, and that failed", counts, "state")


def _budget(ledger: Ledger, product: Product) -> Iterator[Any]:
    """The least that is left of each scene whose releases cost something this year."""
    limits = release_service.limits(product.scenes)
    spending = budget_ledger.verify(release_service.bodies(ledger.announced()), limits)
    year = str(clock.now().year)
    left = {
        scene: float(account.left.rho)
        for (scene, period), account in spending.accounts.items()
        if period == year
    }
    yield _gauge("privacy_budget_left_rho", "zCDP rho left in this year", left, "scene")


def _keys(home: Path, roots: str) -> Iterator[Any]:
    written = {each: home / each for each in KEYS if (home / each).is_file()}
    ages = {
        name: _age(datetime.fromtimestamp(path.stat().st_mtime, UTC))
        for name, path in written.items()
    }
    yield _gauge("key_age_seconds", "Since the file of a key was written", ages, "key")
    if roots:
        left = {Path(roots).name: _certificates_left(Path(roots))}
        yield _gauge("certificate_left_seconds", "Until the first certificate ends", left, "file")


def _certificates_left(path: Path) -> float:
    from cryptography import x509

    ends = [each.not_valid_after_utc for each in x509.load_pem_x509_certificates(path.read_bytes())]
    return (min(ends) - clock.now()).total_seconds()


def _age(at: datetime) -> float:
    return max((clock.now() - at).total_seconds(), 0.0)
