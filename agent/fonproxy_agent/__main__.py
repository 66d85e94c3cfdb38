"""``python -m fonproxy_agent``, the same as the command ``fonproxy-agent``."""

from __future__ import annotations

import sys

from fonproxy_agent.cli import main

if __name__ == "__main__":
    sys.exit(main())
