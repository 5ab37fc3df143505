"""Mutants of a module: one comparison, operator, constant or statement of it is another.

    Mutant("gate/decision/decide.py", "frozen", 41, "bits & armed", "bits | armed")

A mutant is named by its function and by what stands before and after, not by its line, so that the
explanations of equivalent.toml hold while lines move. Texts of messages, annotations, decorators
and docstrings are left alone.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
}
BOOLEANS: dict[type[ast.boolop], type[ast.boolop]] = {ast.And: ast.Or, ast.Or: ast.And}
SPOKEN = (ast.Raise, ast.JoinedStr, ast.Assert)  # what they say is not compared
LONGEST = 60  # characters of what a name quotes


@dataclass(frozen=True)
class Mutant:
    """`site`: the number of the change among all of the file."""

    file: str
    function: str
    site: int
    before: str
    after: str
    line: int
    again: int = 0  # how many alike stand before it in the function
    in_function: bool = False

    @property
    def name(self) -> str:
        more = f" ({self.again + 1})" if self.again else ""
        return f"{self.file} {self.function}: {self.before} -> {self.after}{more}"


def mutants(file: str) -> list[Mutant]:
    """Every mutant of a file, in the order of its text."""
    tree, seen, found = _parsed(file), Counter[tuple[str, str, str]](), []
    bodies = {
        id(node)
        for each in ast.walk(tree)
        if isinstance(each, ast.FunctionDef)
        for node in ast.walk(each)
        if node is not each
    }
    for site, (function, node, after) in enumerate(_changes(tree)):
        words = function, _text(node), _text(after)
        line, inside = getattr(node, "lineno", 0), id(node) in bodies
        found.append(Mutant(file, words[0], site, words[1], words[2], line, seen[words], inside))
        seen[words] += 1
    return found


def mutated(mutant: Mutant) -> ast.Module:
    """The whole module with the one change."""
    tree = _parsed(mutant.file)
    _, node, after = [*_changes(tree)][mutant.site]
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is node:
                setattr(parent, name, after)
            elif isinstance(value, list):
                value[:] = [after if each is node else each for each in value]
    return ast.fix_missing_locations(tree)


def _parsed(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text("utf-8"))


def _text(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())[:LONGEST] or "pass"


def _changes(tree: ast.Module) -> Iterator[tuple[str, ast.AST, ast.AST]]:
    """The function, the node and what stands in its place."""
    for function, node in _nodes(tree, "module"):
        for after in _after(node):
            yield function, node, ast.copy_location(after, node)


def _nodes(parent: ast.AST, function: str) -> Iterator[tuple[str, ast.AST]]:
    for name, value in ast.iter_fields(parent):
        if name in {"annotation", "returns", "decorator_list", "keywords", "bases"} and not (
            name == "keywords" and isinstance(parent, ast.Call)
        ):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or _is_text(child) or _is_help(child):
                continue
            yield function, child
            if isinstance(child, SPOKEN):
                continue
            inside = function
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                inside = child.name
            yield from _nodes(child, inside)


def _is_text(node: ast.AST) -> bool:
    """A docstring, or an import."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_help(node: ast.AST) -> bool:
    """A text of a command's help."""
    return isinstance(node, ast.keyword) and node.arg in {"help", "metavar", "description"}


def _after(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.stmt):
        yield from _statements(node)
    else:
        yield from _expressions(node)
        if isinstance(node, ast.Constant):
            yield from _constants(node.value)


def _statements(node: ast.stmt) -> Iterator[ast.AST]:
    match node:
        case ast.Return(value=value) if value is not None and not _is_none(value):
            yield ast.Return(ast.Constant(None))
        case ast.If(test=test) if not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp):
            yield ast.If(ast.UnaryOp(ast.Not(), test), node.body, node.orelse)
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.AugAssign() | ast.Continue():
            yield ast.Pass()


def _expressions(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(ops=[operation, *_]) if type(operation) in COMPARISONS:
            changed = deepcopy(node)
            changed.ops[0] = COMPARISONS[type(operation)]()
            yield changed
        case ast.BoolOp(op=boolean):
            yield ast.BoolOp(BOOLEANS[type(boolean)](), node.values)
        case ast.BinOp(op=operator) if type(operator) in OPERATORS:
            yield ast.BinOp(node.left, OPERATORS[type(operator)](), node.right)
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
            yield operand


def _constants(value: object) -> Iterator[ast.AST]:
    match value:
        case bool():
            yield ast.Constant(not value)
        case int():
            yield ast.Constant(value + 1)
        case str() if value:
            yield ast.Constant(f"{value}?")


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
