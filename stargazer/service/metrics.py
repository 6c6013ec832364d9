"""``/metrics``: numbers of a tenant, as Prometheus reads them.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stargazer.service.visit import Visit

__all__ = ["Requests", "metrics"]

MEDIA = "text/plain; version=0.0.4; charset=utf-8"
EDGES = (0.001, 0.005, 0.025, 0.1, 0.5, 2.0, 10.0, 60.0)
"""Seconds by which requests are counted."""


class Requests:
    """What a process answered, by tenant."""

    def __init__(self) -> None:
        self.began = time.time()
        self.answered: Counter[tuple[str, str, str, int]] = Counter()
        self.within: Counter[tuple[str, float]] = Counter()
        self.seconds: Counter[str] = Counter()
        self.count: Counter[str] = Counter()

    def note(self, tenant: str, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self.answered[tenant, method, route, status] += 1
        self.seconds[tenant] += seconds  # type: ignore[assignment]
        self.count[tenant] += 1
        for edge in EDGES:
            if seconds <= edge:
                self.within[tenant, edge] += 1

    def lines(self, tenant: str) -> Iterator[str]:
        """Lines of what was answered to a tenant."""
        yield "# TYPE stargazer_requests_total counter"
        for (owner, method, route, status), number in sorted(self.answered.items()):
            if owner == tenant:
                yield f'stargazer_requests_total{{method="{method}",route="{route}",status="{status}"}} {number}'
        yield "# TYPE stargazer_request_seconds histogram"
        for edge in EDGES:
            yield f'stargazer_request_seconds_bucket{{le="{edge}"}} {self.within[tenant, edge]}'
        yield f'stargazer_request_seconds_bucket{{le="+Inf"}} {self.count[tenant]}'
        yield f"stargazer_request_seconds_sum {self.seconds[tenant]:.6f}"
        yield f"stargazer_request_seconds_count {self.count[tenant]}"


async def metrics(visit: Visit) -> Response:
    """Return numbers of the tenant: requests, runs, bytes."""
    builds, requests = visit.engine.builds, visit.request.app.state.requests
    lines = list(requests.lines(visit.principal.tenant))
    lines += ["# TYPE stargazer_builds gauge"]
    lines += [f"stargazer_builds {len(builds.active(tenant=visit.principal.tenant))}"]
    lines += ["# TYPE stargazer_materialized_total counter"]
    lines += [
        f'stargazer_materialized_total{{how="{how}"}} {number}' for how, number in builds.of(visit.principal.tenant)
    ]
    lines += ["# TYPE stargazer_moved_bytes gauge", f"stargazer_moved_bytes {visit.engine.meter.used(visit.principal)}"]
    lines += ["# TYPE stargazer_uptime_seconds gauge", f"stargazer_uptime_seconds {time.time() - requests.began:.0f}"]
    return Response("\n".join(lines) + "\n", media_type=MEDIA)
