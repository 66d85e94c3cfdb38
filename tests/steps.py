"""Counts the cost of a text: the steps of a regular expression, and the instructions of Python code.

Times depend on the machine; these numbers do not. A cost is linear if doubling a text doubles it.
"""

from __future__ import annotations

import re
import re._constants as op  # type: ignore[import-not-found]  # not described to type checkers
import re._parser as parser  # type: ignore[import-not-found]
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from types import FrameType
from typing import Any, Final

_WORD: Final = re.compile(r"\w")
_CATEGORIES: Final = {
    op.CATEGORY_DIGIT: re.compile(r"\d"),
    op.CATEGORY_SPACE: re.compile(r"\s"),
    op.CATEGORY_WORD: _WORD,
    op.CATEGORY_NOT_DIGIT: re.compile(r"\D"),
    op.CATEGORY_NOT_SPACE: re.compile(r"\S"),
    op.CATEGORY_NOT_WORD: re.compile(r"\W"),
}
_ONE_CHARACTER: Final = (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN)
Nodes = Sequence[tuple[Any, Any]]


class _Matcher:
    """A backtracking matcher over the parse tree that Python's own engine compiles; counts the characters it
    examines.
    """

    def __init__(self, pattern: re.Pattern[Any], text: str) -> None:
        source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
        self.tree = list(parser.parse(source, pattern.flags))
        self.ignores_case = bool(pattern.flags & re.IGNORECASE)
        self.takes_newlines = bool(pattern.flags & re.DOTALL)
        self.text = text.lower() if self.ignores_case else text
        self.steps = 0

    def ends(self, nodes: Nodes, at: int) -> Iterator[int]:
        """Where a match of the nodes that begins there may end, in the order in which the engine tries."""
        if not nodes:
            yield at
            return
        for middle in self._ends_of(nodes[0], at):
            yield from self.ends(nodes[1:], middle)

    def _ends_of(self, node: tuple[Any, Any], at: int) -> Iterator[int]:
        kind, given = node
        if kind in _ONE_CHARACTER:
            if self._fits(node, at):
                yield at + 1
        elif kind is op.AT:
            if self._is_at(given, at):
                yield at
        elif kind in (op.ASSERT, op.ASSERT_NOT):
            found = next(self.ends(list(given[1]), at), None) is not None
            if found is (kind is op.ASSERT):
                yield at
        else:
            yield from self._ends_of_group(kind, given, at)

    def _ends_of_group(self, kind: Any, given: Any, at: int) -> Iterator[int]:
        if kind is op.SUBPATTERN:
            yield from self.ends(list(given[-1]), at)
        elif kind is op.BRANCH:
            for branch in given[1]:
                yield from self.ends(list(branch), at)
        elif kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            least, most, inner = given
            found = self._repeated(list(inner), at, least, most, is_greedy=kind is not op.MIN_REPEAT)
            yield from islice(found, 1 if kind is op.POSSESSIVE_REPEAT else None)
        else:
            raise NotImplementedError(str(kind))

    def _repeated(self, inner: Nodes, at: int, least: int, most: int, *, is_greedy: bool) -> Iterator[int]:
        if len(inner) == 1 and inner[0][0] in _ONE_CHARACTER:
            reached = at
            while reached - at < most and self._fits(inner[0], reached):
                reached += 1
            found = range(at + least, reached + 1)
            yield from reversed(found) if is_greedy else found
            return
        if least == 0 and not is_greedy:
            yield at
        if most > 0:
            for end in self.ends(inner, at):
                if end > at or least > 0:
                    yield from self._repeated(inner, end, max(least - 1, 0), most - 1, is_greedy=is_greedy)
        if least == 0 and is_greedy:
            yield at

    def _fits(self, node: tuple[Any, Any], at: int) -> bool:
        self.steps += 1
        if at >= len(self.text):
            return False
        kind, given = node
        character = self.text[at]
        if kind is op.ANY:
            return self.takes_newlines or character != "\n"
        if kind is op.IN:
            negated = given[0][0] is op.NEGATE
            return negated != any(self._is_in(item, character) for item in given[negated:])
        return self._is_in((op.LITERAL, given), character) is (kind is op.LITERAL)

    def _is_in(self, item: tuple[Any, Any], character: str) -> bool:
        kind, given = item
        if kind is op.CATEGORY:
            return bool(_CATEGORIES[given].match(character))
        first, last = given if kind is op.RANGE else (given, given)
        forms = {character, character.upper()} if self.ignores_case else {character}
        return any(first <= ord(form) <= last for form in forms if len(form) == 1)

    def _is_at(self, place: Any, at: int) -> bool:
        self.steps += 1
        if place in (op.AT_BEGINNING, op.AT_BEGINNING_STRING):
            return at == 0
        if place in (op.AT_END, op.AT_END_STRING):
            return at == len(self.text) or (place is op.AT_END and self.text[at:] == "\n")
        before = at > 0 and bool(_WORD.match(self.text[at - 1]))
        after = at < len(self.text) and bool(_WORD.match(self.text[at]))
        return (before != after) is (place is op.AT_BOUNDARY)


def literals(pattern: re.Pattern[Any]) -> set[str]:
    """The characters that the pattern names."""

    def named(node: object) -> Iterator[str]:
        if isinstance(node, tuple) and len(node) == 2 and node[0] in (op.LITERAL, op.NOT_LITERAL):
            yield chr(node[1])
        elif isinstance(node, (tuple, list, parser.SubPattern)):
            for inner in node:
                yield from named(inner)

    return set(named(_Matcher(pattern, "").tree))


def spans(pattern: re.Pattern[Any], text: str) -> tuple[list[tuple[int, int]], int]:
    """The matches that ``finditer`` finds, and the steps that finding them all took."""
    matcher = _Matcher(pattern, text)
    found: list[tuple[int, int]] = []
    at = 0
    while at <= len(text):
        end = next(matcher.ends(matcher.tree, at), None)
        if end is None:
            at += 1
            continue
        found.append((at, end))
        at = max(end, at + 1)
    return found, matcher.steps


def steps_to_search(pattern: re.Pattern[Any], text: str) -> int:
    return spans(pattern, text)[1]


def steps_to_match(pattern: re.Pattern[Any], text: str) -> int:
    """The steps of ``fullmatch``, which tries every way to match from the start."""
    matcher = _Matcher(pattern, text)
    any(end == len(text) for end in matcher.ends(matcher.tree, 0))
    return matcher.steps


def instructions(work: Callable[[], object]) -> int:
    """The number of Python instructions that the work executes, including those of the functions it calls."""
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count
