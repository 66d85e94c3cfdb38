"""A private ZooKeeper, from Debian's package, and a patch with which chDB can keep replicated tables on it.

chDB does not listen for other replicas, so its replicated tables find no address to register and stay read-only.
``give_an_address`` replaces the responsible function in the memory of the process. A second replica still could not
fetch.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from tests.serving import free_port

# Names the port for the engines of `tests.clickhouse_server` that are started afterwards.
VARIABLE: Final = "TEST_ZOOKEEPER"
PROGRAM: Final = "/usr/share/zookeeper/bin/zkServer.sh"
START_SECONDS: Final = 60.0
SETTINGS: Final = """
tickTime=500
dataDir={data}
clientPort={port}
clientPortAddress=127.0.0.1
admin.enableServer=false
maxClientCnxns=0
"""
CONFIG: Final = """
<tcp_port>1</tcp_port>
<zookeeper>
    <node><host>127.0.0.1</host><port>{port}</port></node>
    <session_timeout_ms>4000</session_timeout_ms>
    <sessions_path>/clickhouse/sessions-{name}</sessions_path>
</zookeeper>
<macros><shard>{name}</shard><replica>1</replica></macros>
"""


class ZooKeeper:
    """A process that can be killed and started again on the same data; it never waits for the disk."""

    def __init__(self, directory: Path, data: Path | None = None) -> None:
        """Keeps its files in ``directory``, and its data in ``data``, which is beside them by default."""
        self.directory, self.port = directory, free_port()
        settings = SETTINGS.format(data=data or directory / "data", port=self.port)
        (directory / "zoo.cfg").write_text(settings)
        self.start()

    def start(self) -> None:
        flags = "-Xmx256m -Dzookeeper.forceSync=no -Dzookeeper.preAllocSize=64"
        variables = {"ZOO_LOG_DIR": str(self.directory), "JVMFLAGS": flags}
        with (self.directory / "log").open("ab") as log:
            command = [PROGRAM, "start-foreground", str(self.directory / "zoo.cfg")]
            self.process = subprocess.Popen(command, env={**os.environ, **variables}, stdout=log, stderr=log)
        try:
            self._wait_until_it_listens()
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        self.process.kill()  # the script has become the server
        self.process.wait()

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "ZooKeeper ended while starting"
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.1)
        raise AssertionError("ZooKeeper did not start")


@contextmanager
def running(data: Path | None = None) -> Iterator[ZooKeeper]:
    """Runs an empty ZooKeeper."""
    if not Path(PROGRAM).exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("ZooKeeper is not installed")
    with tempfile.TemporaryDirectory(prefix="fonproxy-zookeeper-") as name:
        zookeeper = ZooKeeper(Path(name), data)
        try:
            yield zookeeper
        finally:
            zookeeper.kill()


def config(directory: Path) -> str:
    """The configuration of an engine over this directory, each a shard of its own; empty without a ZooKeeper."""
    port = os.environ.get(VARIABLE)
    name = hashlib.sha256(str(directory).encode()).hexdigest()[:12]
    return CONFIG.format(port=port, name=name) if port else ""


def give_an_address() -> None:
    """Makes ``Context::getInterserverIOAddress`` return 127.0.0.1:9009. x86-64 only; call it before the first table."""
    import chdb  # noqa: F401  # maps the library

    found = find_spec("chdb._chdb")
    assert found is not None
    assert found.origin is not None
    library = Path(found.origin).resolve()
    with Path("/proc/self/maps").open() as maps:
        base = min(int(line.split("-")[0], 16) for line in maps if str(library) in line)
    address = base + _function_with(library, b"Parameter 'interserver_http(s)_port' required")
    code = _returning(b"127.0.0.1", 9009)
    libc = ctypes.CDLL(None)
    page, length = address & ~4095, 8192
    read, write, run = 1, 2, 4
    assert libc.mprotect(ctypes.c_void_p(page), length, read | write | run) == 0
    ctypes.memmove(address, code, len(code))
    assert libc.mprotect(ctypes.c_void_p(page), length, read | run) == 0


def _returning(host: bytes, port: int) -> bytes:
    """The function's new body: a short ``std::string`` and a number, placed where the caller expects the result."""
    text = struct.unpack("<3Q", (bytes([len(host) << 1]) + host).ljust(24, b"\0"))
    stores = (b"\x48\x89\x0f", b"\x48\x89\x4f\x08", b"\x48\x89\x4f\x10")
    moves = b"".join(b"\x48\xb9" + struct.pack("<Q", word) + store for word, store in zip(text, stores, strict=True))
    return b"\x48\x89\xf8" + moves + b"\x66\xc7\x47\x18" + struct.pack("<H", port) + b"\xc3"


def _function_with(library: Path, text: bytes) -> int:
    """The offset of the only function that refers to this text."""
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
        segments = list(_segments(image))
        [(_, start, memory, size)] = [segment for segment in segments if segment[0] == 5]  # executable segments
        wanted = image.find(text)
        code = np.frombuffer(image, dtype=np.uint8, count=size, offset=start)
        references = [
            memory + shift + 4 * int(index)
            for shift in range(4)
            for index in _referring(code[shift:], memory + shift, wanted)
        ]
        starts = _functions(image)
        functions = {int(starts[np.searchsorted(starts, place, side="right") - 1]) for place in references}
        del code
    [function] = functions
    return function


def _referring(code: np.ndarray, memory: int, wanted: int) -> np.ndarray:
    """Places where four bytes, as an offset from their end, point to the text."""
    offsets = code[: len(code) // 4 * 4].view("<i4")
    places = np.arange(len(offsets), dtype=np.int64) * 4 + memory + 4
    found: np.ndarray = np.nonzero(offsets + places == wanted)[0]
    return found


def _segments(image: mmap.mmap) -> Iterator[tuple[int, int, int, int]]:
    """Flags, file offset, address and size of each loaded segment."""
    [first], (size, count) = struct.unpack_from("<Q", image, 32), struct.unpack_from("<HH", image, 54)
    for number in range(count):
        kind, flags, offset, address, _, length = struct.unpack_from("<IIQQQQ", image, first + number * size)
        if kind == 1:
            yield flags, offset, address, length


def _functions(image: mmap.mmap) -> np.ndarray:
    """The starts of all functions, sorted, from the stack-unwinding table."""
    [first], (size, count) = struct.unpack_from("<Q", image, 32), struct.unpack_from("<HH", image, 54)
    headers = (struct.unpack_from("<IIQQ", image, first + number * size) for number in range(count))
    [(at, address)] = [(offset, address) for kind, _, offset, address in headers if kind == 0x6474E550]
    [entries] = struct.unpack_from("<I", image, at + 8)
    table = np.frombuffer(image, dtype="<i4", count=2 * entries, offset=at + 12).reshape(-1, 2)
    starts: np.ndarray = table[:, 0].astype(np.int64) + address
    return starts
