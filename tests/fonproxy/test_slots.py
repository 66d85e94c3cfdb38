"""Reads of one account at once."""

from __future__ import annotations

import threading

import pytest

from fonproxy.api import slots
from fonproxy.api.slots import Slots


def test_each_account_has_its_own_limited_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "WAIT_SECONDS", 0.05)
    reads = Slots(2)
    assert [reads.take(1) for _ in range(3)] == [True, True, False]
    assert reads.take(2)
    reads.give_back(1)
    assert reads.take(1)


def test_a_read_that_waits_gets_the_slot_that_comes_free() -> None:
    reads = Slots(1)
    assert reads.take(1)
    got: list[bool] = []
    waiting = threading.Thread(target=lambda: got.append(reads.take(1)))
    waiting.start()
    reads.give_back(1)
    waiting.join(30)
    assert got == [True]


def test_only_a_few_reads_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "WAITING", 0)
    assert not Slots(1).take(1)
