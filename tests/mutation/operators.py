"""The mutations that are made: some of Cosmic Ray's own operators, and two that it lacks.

Cosmic Ray replaces every comparison with six others and every arithmetic operator with eleven. The same tests kill most
of those, so one or two of each are used here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any, Final

from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.plugins import OPERATOR_PROVIDERS
from parso.python import tree

Position = tuple[int, int]

CORE: Final = frozenset(
    f"core/{name}"
    for name in (
        *(f"ReplaceBinaryOperator_{pair}" for pair in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul")),
        *(f"ReplaceBinaryOperator_{pair}" for pair in ("Mod_Mul", "Pow_Mul", "BitOr_BitAnd", "BitAnd_BitOr")),
        *(f"ReplaceComparisonOperator_{pair}" for pair in ("Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is")),
        *(f"ReplaceComparisonOperator_{pair}" for pair in ("Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt")),
        *(f"ReplaceComparisonOperator_{pair}" for pair in ("Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt")),
        *("ReplaceUnaryOperator_USub_UAdd", "ReplaceUnaryOperator_Delete_Not", "AddNot"),
        *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
        *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ExceptionReplacer", "NumberReplacer"),
        *("RemoveDecorator", "ZeroIterationForLoop"),
    )
)


class RemoveStatement(Operator):  # type: ignore[misc]
    """Replaces a call, an augmented assignment, an assignment to an attribute or item, or a `raise` with `pass`."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Position, Position]]:
        if node.type == "simple_stmt" and _has_effect(node.children[0]):
            yield node.children[0].start_pos, node.children[0].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        removed = node.children[0]
        node.children[0] = tree.Name("pass", removed.start_pos, prefix=removed.get_first_leaf().prefix)
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example("f(x)\n", "pass\n"), Example("x.y = 1\n", "pass\n"), Example("x += 1\n", "pass\n"))


def _has_effect(node: Any) -> bool:
    if node.type == "atom_expr":
        return _is_call(node.children[-1])
    if node.type == "expr_stmt":
        target, sign = node.children[:2]
        return bool(target.type == "atom_expr" or (sign.type == "operator" and sign.value != "="))
    return bool(node.type == "raise_stmt")


def _is_call(node: Any) -> bool:
    return bool(node.type == "trailer" and node.children[0].value == "(")


class RemoveArgument(Operator):  # type: ignore[misc]
    """Removes one keyword argument from a call: a condition of a query, or a default that is overridden."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Position, Position]]:
        for argument in self._arguments(node):
            yield argument.start_pos, argument.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        at = node.children.index(list(self._arguments(node))[index])
        # With the comma before it, or after it if it is the first; a call's only argument has none.
        first, last = (at - 1, at) if at and node.type == "arglist" else (at, at + (node.type == "arglist"))
        del node.children[first : last + 1]
        return node

    @staticmethod
    def _arguments(node: Any) -> Iterator[Any]:
        if node.type == "arglist" or _is_call(node):
            yield from (part for part in node.children if part.type == "argument" and part.children[1] == "=")

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example("f(a, b=1)", "f(a)"), Example("f(b=1)", "f()"), Example("f(b=1, c=2)", "f( c=2)"))


OWN: Final[dict[str, type[Operator]]] = {
    "RemoveStatement": RemoveStatement,
    "RemoveArgument": RemoveArgument,
}
CHOSEN: Final = CORE | {f"fonproxy/{name}" for name in OWN}


def register() -> None:
    """Registers the operators of this module with Cosmic Ray in this process."""
    OPERATOR_PROVIDERS["fonproxy"] = OWN


NEGATED: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt,
}  # fmt: skip


class _Normal(ast.NodeTransformer):
    """Normalizes negations, and drops what mypy checks: annotations, parameter kinds, dataclass(frozen=, slots=)."""

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.op, ast.Not):
            return node
        match node.operand:
            case ast.UnaryOp(op=ast.Not(), operand=twice):
                return twice
            case ast.Compare(left=left, ops=[op], comparators=right):
                return ast.Compare(left, [NEGATED[type(op)]()], right)
        return node

    def visit_arguments(self, node: ast.arguments) -> ast.AST:
        self.generic_visit(node)
        node.args = [*node.posonlyargs, *node.args, *node.kwonlyargs]
        node.defaults = [*node.defaults, *(default for default in node.kw_defaults if default is not None)]
        node.posonlyargs, node.kwonlyargs, node.kw_defaults = [], [], []
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        node.decorator_list = [_without_checked_options(decorator) for decorator in node.decorator_list]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.returns = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        node.annotation = ast.Constant(None)
        return node


def _without_checked_options(decorator: ast.expr) -> ast.expr:
    if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "dataclass":
        decorator.keywords = [option for option in decorator.keywords if option.arg not in ("frozen", "slots")]
    return decorator


def meaning(code: str) -> str | None:
    """Equal for code that does the same in an obvious way; None for text that is not Python."""
    try:
        return ast.dump(_Normal().visit(ast.parse(code)))
    except SyntaxError:
        return None
