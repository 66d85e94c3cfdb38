"""Images are pinned by digest: every file that names one is found, and a pin is kept when it is written again."""

from __future__ import annotations

import re
import runpy
from types import SimpleNamespace
from typing import Any

from tests.serving import ROOT

pin_images: Any = SimpleNamespace(**runpy.run_path(str(ROOT / "ops/pin_images.py")))
DIGEST = f"sha256:{'0a' * 32}"


def test_every_image_is_found() -> None:
    found = {name for file in pin_images.FILES for name in pin_images.images((ROOT / file).read_text())}
    named = {
        re.sub("@.*", "", name)
        for file in pin_images.FILES
        for name in re.findall(r"[a-z/-]+:[a-z0-9.-]+(?:@sha256:[0-9a-f]+)?", (ROOT / file).read_text())
        if name.startswith(("python:", "debian:", "postgres:", "redis:", "clickhouse/"))
    }
    assert found == named
    assert {name.partition(":")[0] for name in found} == {
        "python", "debian", "postgres", "redis", "clickhouse/clickhouse-server",
    }  # fmt: skip


def test_a_pin_is_the_tag_with_its_digest_and_nothing_else_changes() -> None:
    for file in pin_images.FILES:
        text = (ROOT / file).read_text()
        pinned = pin_images.pinned(text, lambda _: DIGEST)
        assert set(pin_images.images(pinned).values()) == {f"@{DIGEST}"}
        assert pin_images.pinned(pinned, lambda _: DIGEST) == pinned
        assert re.sub("@sha256:[0-9a-f]{64}", "", pinned) == re.sub("@sha256:[0-9a-f]{64}", "", text)
        assert "fonproxy:local@" not in pinned
