"""The one place that imports structlog: structured logs, ids and counts, never payload.

Offers: `get_logger`, and `structlog` itself for whoever sets it up. structlog imports rich for
coloured tracebacks wherever it finds it; our records are JSON or plain text, so it is left out.
"""

from __future__ import annotations

from frontgate.lean import without

with without("rich", "better_exceptions"):
    import structlog

get_logger = structlog.get_logger

__all__ = ["get_logger", "structlog"]
