"""Reports Squid's running requests while they run, so that long ones count before their log line is written."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fonproxy_agent.client import AgentClient, Unreachable
from fonproxy_agent.config import WatchConfig
from fonproxy_agent.metrics import MetricsFile
from fonproxy_agent.request import MAX_AMOUNT, canonical_ip
from fonproxy_agent.sessions import CounterStore, SessionReport, iso, report
from fonproxy_agent.squid import manager
from fonproxy_agent.squid.lines import domain_of
from fonproxy_agent.waiting import Cancellation

log_messages = logging.getLogger(__name__)

SAMPLES_PER_CALL: Final = 1_000


class Watcher:
    def __init__(
        self,
        config: WatchConfig,
        client: AgentClient,
        squid_manager: str,
        worker: str,
        metrics: MetricsFile,
        cancellation: Cancellation,
    ) -> None:
        self._interval = config.interval_seconds
        self._store = CounterStore(Path(config.database))
        self._client = client
        self._manager = squid_manager
        self._worker = worker
        self._metrics = metrics
        self._cancellation = cancellation

    def run(self) -> None:
        """Runs until cancelled. Raises Stop if FonProxy refuses permanently."""
        reported_at = time.time()
        while not self._cancellation.is_set:
            began = time.monotonic()
            count = 0
            try:
                samples = self._record()
                count = len(samples)
                while samples:
                    report(self._client, samples[:SAMPLES_PER_CALL])
                    del samples[:SAMPLES_PER_CALL]
                reported_at = time.time()
            except manager.ManagerError as problem:
                log_messages.warning(f"{problem}.")
            except Unreachable as problem:
                # Counters are cumulative, so the next report includes what this one missed.
                log_messages.warning(f"{problem}; running requests will be reported later.")
            self._metrics.write({"lag_seconds": time.time() - reported_at, "running_requests": count})
            self._cancellation.wait(max(self._interval - (time.monotonic() - began), 0.1))

    def _record(self) -> list[SessionReport]:
        """The samples to report, all of which were recorded before."""
        began_at = time.time()
        running = list(self._running(began_at))
        if not self._store.record(running, began_at):
            log_messages.warning("Squid's cache manager was too slow: this listing is left out.")
            return []
        return [sample for sample, _ in running]

    def _running(self, now: float) -> Iterator[tuple[SessionReport, int]]:
        """Requests that have been running for an interval, with their starts in milliseconds."""
        for request in manager.active_requests(self._manager):
            start_ms = request.start_us // 1000
            if now * 1000 - start_ms < self._interval * 1000:
                continue
            method = "GET" if "://" in request.target else "CONNECT"
            sample = SessionReport(
                session=f"{self._worker}/{request.start_us}/{request.client}/{request.port}",
                login=request.login,
                worker=self._worker,
                started_at=iso(start_ms),
                bytes_sent=0,
                bytes_received=min(request.bytes_received, MAX_AMOUNT),
                requests=1,
                domain=domain_of(method, request.target),
                ip_from=canonical_ip(request.client),
            )
            yield sample, start_ms
