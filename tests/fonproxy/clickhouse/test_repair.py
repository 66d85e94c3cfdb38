from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import Mock

import pytest

from fonproxy.clickhouse.repair import Part, honest, parse_part, repair


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("202611_2_70_3", Part("202611", 2, 70)),
        ("202611_2_2_0_71", Part("202611", 2, 2)),
        ("all_1_1_0", Part("all", 1, 1)),
        ("tmp_insert_202611_1_1_1", None),
        ("tmp_merge_202611_1_2_1", None),
        ("delete_tmp_202611_1_1_1", None),
        ("detached", None),
        ("deduplication_logs", None),
    ],
)
def test_only_finished_parts_count(name: str, part: Part | None) -> None:
    assert parse_part(name) == part


def _line(part: str, operation: int = 1) -> bytes:
    return f"{operation}\t{part}\t202611_1_2\n".encode()


def test_a_record_stays_when_its_part_is_there() -> None:
    assert honest(_line("202611_5_5_1"), ["202611_5_5_1"]) == _line("202611_5_5_1")


def test_a_record_stays_when_a_merged_part_covers_it() -> None:
    assert honest(_line("202611_5_5_1"), ["202611_2_9_2"]) == _line("202611_5_5_1")


@pytest.mark.parametrize("name", ["202611_2_2_1", "202611_9_9_1", "202611_2_5_2", "202611_5_9_2", "202611_2_9_1"])
def test_a_record_stays_when_its_part_is_at_the_edge_of_a_merged_part(name: str) -> None:
    assert honest(_line(name), ["202611_2_9_2"]) == _line(name)


@pytest.mark.parametrize("name", ["202611_1_1_1", "202611_10_10_1", "202611_1_2_1", "202611_9_10_1"])
def test_a_record_is_dropped_when_its_part_reaches_beyond_the_merged_part(name: str) -> None:
    assert honest(_line(name), ["202611_2_9_2"]) == b""


def test_a_record_stays_when_its_part_was_mutated() -> None:
    assert honest(_line("202611_5_5_1"), ["202611_5_5_1_8"]) == _line("202611_5_5_1")


@pytest.mark.parametrize("name", ["202611_2_4_2", "202610_2_9_2", "tmp_insert_202611_5_5_1", "202611_6_6_1"])
def test_a_record_without_its_part_is_dropped(name: str) -> None:
    assert honest(_line("202611_1_1_1") + _line("202611_5_5_1"), ["202611_1_1_1", name]) == _line("202611_1_1_1")


def test_a_record_that_takes_a_token_back_stays() -> None:
    assert honest(_line("202611_5_5_1", operation=2), []) == _line("202611_5_5_1", operation=2)


def test_a_torn_last_line_is_cut() -> None:
    assert honest(_line("202611_5_5_1") + b"1\t202611_6_6_1\t20", ["202611_5_5_1", "202611_6_6_1"]) == _line(
        "202611_5_5_1"
    )


def test_an_unreadable_line_is_dropped() -> None:
    assert honest(b"\0\0\0\n" + _line("202611_5_5_1"), ["202611_5_5_1"]) == _line("202611_5_5_1")


def test_a_record_whose_part_has_no_readable_name_stays() -> None:
    assert honest(b"1\t\xff\xfe\tx\n", []) == b"1\t\xff\xfe\tx\n"


def _table(path: Path, log: bytes, *parts: str) -> Path:
    table = path / "store" / "abc" / "abcdef"
    (table / "deduplication_logs").mkdir(parents=True)
    for part in parts:
        (table / part).mkdir()
    file = table / "deduplication_logs" / "deduplication_log_1.txt"
    file.write_bytes(log)
    return file


def test_a_repaired_log_is_replaced_and_then_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "clickhouse"
    log = _table(path, _line("202611_1_1_1") + _line("202611_2_2_1"), "202611_1_1_1")

    assert repair(path) == 1
    assert log.read_bytes() == _line("202611_1_1_1")
    assert repair(path) == 0
    assert [file.name for file in log.parent.iterdir()] == [log.name]


def test_a_repair_that_was_killed_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "clickhouse"
    log = _table(path, _line("202611_2_2_1"))
    (tmp_path / "clickhouse.repair").write_bytes(b"half a li")

    assert repair(path) == 1
    assert log.read_bytes() == b""


def test_a_repair_killed_before_the_rename_leaves_no_file_among_the_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "clickhouse"
    log = _table(path, _line("202611_2_2_1"))
    with monkeypatch.context() as killed:
        killed.setattr(Path, "replace", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            repair(path)

    assert [file.name for file in log.parent.iterdir()] == [log.name]
    assert log.read_bytes() == _line("202611_2_2_1")
    assert repair(path) == 1


def test_a_new_directory_needs_no_repair(tmp_path: Path) -> None:
    assert repair(tmp_path / "clickhouse") == 0


def test_a_repaired_log_is_on_the_disk_before_and_after_it_takes_the_old_ones_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "clickhouse"
    log = _table(path, _line("202611_1_1_1") + _line("202611_2_2_1"), "202611_1_1_1")
    synced: list[tuple[str, int, bytes]] = []
    fsync = os.fsync

    def watched(file: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{file}"))
        synced.append((name.name, name.stat().st_size if name.is_file() else 0, log.read_bytes()))
        fsync(file)

    monkeypatch.setattr(os, "fsync", watched)
    before = len(os.listdir("/proc/self/fd"))
    assert repair(path) == 1
    old, new = _line("202611_1_1_1") + _line("202611_2_2_1"), _line("202611_1_1_1")
    assert synced == [("clickhouse.repair", len(new), old), ("deduplication_logs", 0, new)]
    assert len(os.listdir("/proc/self/fd")) == before
