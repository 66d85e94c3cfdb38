"""Processes of one test module on a pair of stores, started and finished by a test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from tests.serving import ROOT


class Stage:
    """Processes of that module, with these settings."""

    def __init__(self, module: str, **settings: str) -> None:
        self.module = module
        self.environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "fonproxy.settings", **settings}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", self.module, *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def finish(self, process: subprocess.Popen[str]) -> Any:
        """Ends its input and waits for it; returns the JSON that it printed, if any."""
        output, _ = process.communicate(timeout=600)  # a limit for a loaded machine, not an expectation
        assert process.returncode == 0
        return json.loads(output) if output else None

    def run(self, *arguments: str) -> Any:
        return self.finish(self.start(*arguments))


def end(process: subprocess.Popen[str]) -> None:
    """Kills it at once, whatever it is doing."""
    process.kill()
    process.communicate()
