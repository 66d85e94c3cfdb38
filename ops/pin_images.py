"""``make pin-images``: writes the digest behind the tag of every image; with ``--check``, says which have none.

A tag is whatever its owner makes of it tomorrow; a digest is this very image. The digests come from the registry, by
Docker, so pinning needs both.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
FILES: Final = ("Dockerfile", "compose.yaml", ".github/workflows/ci.yml")
# Where an image is named: a base, a service, the container of a job, and the entries of the job's matrix of images.
NAMED: Final = re.compile(
    r"""(?P<before>^(?:ARG\ [A-Z_]*BASE=|\ *(?:image|container):\ |\ *-\ )"?)
        (?P<name>[a-z0-9./-]+:[a-z0-9.-]+)(?P<digest>@sha256:[0-9a-f]{64})?(?="?\ *(?:\#.*)?$)""",
    re.MULTILINE | re.VERBOSE,
)
OURS: Final = "fonproxy:local"


def images(text: str) -> dict[str, str]:
    """The images that a file names, each with its digest or without one."""
    return {found["name"]: found["digest"] or "" for found in NAMED.finditer(text) if found["name"] != OURS}


def pinned(text: str, digest_of: Callable[[str], str]) -> str:
    """The file with the digest of each image after its tag."""

    def pin(found: re.Match[str]) -> str:
        name = found["name"]
        return found[0] if name == OURS else f"{found['before']}{name}@{digest_of(name)}"

    return NAMED.sub(pin, text)


def _asked(name: str) -> str:
    command = ["docker", "buildx", "imagetools", "inspect", name]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if found := re.search(r"^Digest: +(sha256:[0-9a-f]{64})$", told, re.MULTILINE):
        return found[1]
    raise SystemExit(f"docker names no digest for {name}:\n{told}")


def main() -> int:
    texts = {file: (ROOT / file).read_text() for file in FILES}
    if sys.argv[1:] == ["--check"]:
        named = ((file, *image) for file, text in texts.items() for image in images(text).items())
        loose = [f"{file}: {name}" for file, name, digest in named if not digest]
        if loose:
            sys.stderr.write("\n".join(["Images without a digest; run `make pin-images`:", *loose, ""]))
        return 1 if loose else 0
    digests = {name: _asked(name) for text in texts.values() for name in images(text)}
    for file, text in texts.items():
        (ROOT / file).write_text(pinned(text, digests.__getitem__))
    return 0


if __name__ == "__main__":
    sys.exit(main())
