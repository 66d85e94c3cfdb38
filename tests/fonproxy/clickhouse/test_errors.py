from __future__ import annotations

import pytest

from fonproxy.clickhouse.errors import EngineError, EngineFault, EngineUnavailable, QueryTooHeavy, from_text


@pytest.mark.parametrize(
    ("text", "class_", "code"),
    [
        ("Code: 159. DB::Exception: Timeout exceeded: elapsed 1002 ms. (TIMEOUT_EXCEEDED)", QueryTooHeavy, 159),
        ("Code: 241. DB::Exception: Query memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)", QueryTooHeavy, 241),
        ("Code: 241. DB::Exception: (total) memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)", EngineUnavailable, 241),
        ("Code: 243. DB::Exception: Cannot reserve 1.00 MiB. (NOT_ENOUGH_SPACE)", EngineUnavailable, 243),
        ("Code: 667. DB::Exception: Table is not initialized yet. (NOT_INITIALIZED)", EngineUnavailable, 667),
        ("Code: 1001. DB::Exception: std::exception: No space left on device", EngineUnavailable, 1001),
        ("Streaming insert finish failed: Code: 117. DB::Exception: Bad data. (INCORRECT_DATA)", EngineFault, 117),
        ("something else entirely", EngineFault, None),
        ("", EngineFault, None),
    ],
)
def test_an_error_code_decides_the_class_of_the_error(text: str, class_: type[EngineError], code: int | None) -> None:
    error = from_text(text)

    assert type(error) is class_
    assert error.code == code


def test_a_message_is_one_line_without_stack_trace_or_version() -> None:
    error = from_text(
        "Code: 60. DB::Exception: Unknown table 'nope'. (UNKNOWN_TABLE) (version 26.9.2.1)\nStack trace:\n0. /build/x"
    )

    assert str(error) == "Unknown table 'nope'. (UNKNOWN_TABLE)"
