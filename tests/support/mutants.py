"""Mutants of a function: its source with one operator, constant, argument or statement changed."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from types import CodeType, FunctionType
from typing import Any

import attrs

PAIRS = [
    ("add", "sub"),
    ("add_", "sub_"),
    ("mul", "div"),
    ("mul_", "div_"),
    ("maximum", "minimum"),
    ("clamp_min", "clamp_max"),
    ("clamp_min_", "clamp_max_"),
    ("addcmul", "addcdiv"),
    ("addcmul_", "addcdiv_"),
    ("min", "max"),
    ("gt", "lt"),
]
METHODS = {**dict(PAIRS), **{other: one for one, other in PAIRS}}
OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.Pow: ast.Mult,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
SYMMETRIC = {"addcmul", "addcmul_", "maximum", "minimum", "max", "min"}
OUT_OF_PLACE = {"add", "sub", "mul", "div", "lerp", "sign", "sqrt", "square", "addcmul", "addcdiv"}


@attrs.frozen
class Mutant:
    """A function, and what it does otherwise.

    Args:
        function: the original.
        change: its lines that differ, before and after.
        code: what it runs instead.
    """

    function: FunctionType
    change: str
    code: CodeType

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let whoever calls the function run the mutant."""
        code = self.function.__code__
        self.function.__code__ = self.code
        try:
            yield
        finally:
            self.function.__code__ = code


def mutants(function: FunctionType) -> Iterator[Mutant]:
    """Yield each mutant of a function that isn't a closure."""
    tree = parsed(function)
    before = ast.unparse(tree).splitlines()
    for place, node in list(places(tree.body[0])):
        for replacement in changes(node):
            place(replacement)
            after = ast.unparse(tree).splitlines()
            yield Mutant(function, difference(before, after), code_of(tree, function))
            place(node)


def parsed(function: FunctionType) -> ast.Module:
    """Return the tree of a function without decorators, annotations and docstring."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    body = tree.body[0]
    assert isinstance(body, ast.FunctionDef)
    body.decorator_list, body.returns = [], None
    for node in ast.walk(body.args):
        if isinstance(node, ast.arg):
            node.annotation = None
    if ast.get_docstring(body):
        del body.body[0]
    return tree


def code_of(tree: ast.Module, function: FunctionType) -> CodeType:
    names: dict[str, Any] = dict(function.__globals__)
    exec(ast.unparse(tree), names)
    code: CodeType = names[function.__name__].__code__
    return code


def difference(before: list[str], after: list[str]) -> str:
    lines = [
        " ".join(line.strip() for line in one if line not in other)
        for one, other in ((before, after), (after, before))
    ]
    return " -> ".join(lines)


def places(tree: ast.AST) -> Iterator[tuple[Callable[[ast.AST], None], ast.AST]]:
    """Yield what puts another node into the place of each, and the node."""
    for parent in ast.walk(tree):
        if isinstance(parent, ast.arguments):  # defaults aren't in the code of a function
            continue
        for field, value in ast.iter_fields(parent):
            if isinstance(value, ast.AST):
                yield partial(setattr, parent, field), value
            for index, item in enumerate(value if isinstance(value, list) else ()):
                if isinstance(item, ast.AST):
                    yield partial(value.__setitem__, index), item


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what a node becomes in each mutant."""
    if type(node) in OPERATORS:
        yield OPERATORS[type(node)]()
    match node:
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value + 1)
        case ast.BinOp(left=left, right=right):
            yield from (left, right)
        case ast.UnaryOp(operand=operand):
            yield operand
        case ast.IfExp(body=body, orelse=orelse):
            yield from (body, orelse)
        case ast.If(test=test, body=body, orelse=orelse):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.Tuple(elts=[first, second, *others], ctx=context):
            yield ast.Tuple([second, first, *others], context)
        case ast.Expr() | ast.Assign() | ast.AugAssign():
            yield ast.Pass()
        case ast.Call():
            yield from changes_of_call(node)


def changes_of_call(node: ast.Call) -> Iterator[ast.AST]:
    """Yield a call with arguments swapped or left out, of a kindred method, and none at all."""
    match node.args:
        case [first, second, *others] if not is_symmetric(node):
            yield ast.Call(node.func, [second, first, *others], node.keywords)
    for keyword in node.keywords:
        yield ast.Call(node.func, node.args, [k for k in node.keywords if k is not keyword])
    match node.func:
        case ast.Attribute(value=value, attr=name):
            yield value
            if name in METHODS:
                yield ast.Call(ast.Attribute(value, METHODS[name]), node.args, node.keywords)
            # On a name it changes what others hold; on a new tensor it would be the same.
            if name in OUT_OF_PLACE and not isinstance(value, ast.Call | ast.BinOp):
                yield ast.Call(ast.Attribute(value, f"{name}_"), node.args, node.keywords)
        case ast.Name() if len(node.args) == 1:
            yield node.args[0]


def is_symmetric(node: ast.Call) -> bool:
    """Return whether a call is the same with its first two arguments swapped."""
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    return name in SYMMETRIC or ast.dump(node.args[0]) == ast.dump(node.args[1])


def reachable(function: FunctionType, package: str) -> list[FunctionType]:
    """Return a function and those of a package that it calls by name, and these, and so on."""
    found: list[FunctionType] = []
    waiting = [function]
    while waiting:
        one = waiting.pop()
        if one in found or one.__code__.co_freevars:
            continue
        found.append(one)
        named = [one.__globals__.get(name) for name in names_in(one.__code__)]
        classes = [x for x in named if isinstance(x, type)]
        methods = [getattr(c, name, None) for c in classes for name in one.__code__.co_names]
        waiting += [
            x
            for x in (*named, *methods)
            if isinstance(x, FunctionType) and x.__module__.startswith(package)
        ]
    return found


def names_in(code: CodeType) -> list[str]:
    """Return the names that code refers to in their order, within its comprehensions too."""
    # No set: every worker of a parallel run has to collect the tests in the same order.
    inner = [names_in(item) for item in code.co_consts if isinstance(item, CodeType)]
    return list(dict.fromkeys(chain(code.co_names, *inner)))
