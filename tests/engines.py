"""Which engine the tests talk to."""

from __future__ import annotations

import pytest
from django.conf import settings

embedded_only = pytest.mark.skipif(settings.CLICKHOUSE is not None, reason="about the engine inside the process")
