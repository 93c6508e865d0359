"""Conditions of rules: a small part of Python's expressions, checked whole before anything of it is run.

    new_device and devices_30d > allow_devices
    1 + 0.15 * (installs_7d - allow_reinstalls)
    type in ("key_request", "model_download") and not resumed

Only the words of a given table, numbers, true, false and short texts; `and or not`, comparisons, `in` a list of
constants, `+ - * / %` and `a if c else b`. Nothing is called, nothing has parts, nothing repeats, so an expression
cannot reach beyond its words, cannot run long and cannot grow a value. Types are checked when it is read. What is left
that could raise at run time cannot:

- A division by what turns out to be 0 is 0. A divisor is one number or one word, so that it is looked at once.
- There are at most 8 products, and words and constants are below 2**53, so no whole number outgrows a float.
"""

import ast
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

MAX_LENGTH: Final = 500  # characters
MAX_NODES: Final = 96
MAX_DEPTH: Final = 24
MAX_PRODUCTS: Final = 8
MAX_NUMBER: Final = 1e12
MAX_WORD: Final = 64  # characters of a text
MAX_TIMES: Final = 1000.0

_WRITTEN = re.compile(r"[A-Za-z0-9_ .,:()\[\]<>=!+*/%\"'-]*")
_TEXTS = re.compile(r"\"[^\"]*\"|'[^']*'")
_RUNS_ON = re.compile(r"\b[0-9][0-9_.]*+(?>[eE][+-]?[0-9]++)?+[A-Za-z_]")  # of such numbers Python only warns
_ORDER = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_EQUAL = {ast.Eq: "==", ast.NotEq: "!="}
_AMONG = {ast.In: "in", ast.NotIn: "not in"}
_ARITHMETIC = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Mod: "%"}
_SAID = {
    ast.Call: "a call",
    ast.Attribute: "a part of something (a dot)",
    ast.Subscript: "an index",
    ast.Lambda: "a lambda",
    ast.JoinedStr: "a text with parts",
    ast.NamedExpr: "an assignment",
    ast.Pow: "a power",
    ast.FloorDiv: "the operator //",
}


class Kind(StrEnum):
    """What a word or an expression is."""

    FLAG = "true or false"
    NUMBER = "a number"
    TEXT = "a text"


@dataclass(frozen=True, slots=True)
class Name:
    """A word of the table: what it is, and the Python that reads it where an expression is run."""

    kind: Kind
    source: str


@dataclass(frozen=True, slots=True)
class Expression:
    """One that was checked.

    Attributes:
        text: as its author wrote it.
        kind: what it gives.
        names: the words it uses.
        source: the same in Python, spelled anew from the checked parts: nothing of `text` is ever run.
    """

    text: str
    kind: Kind
    names: frozenset[str]
    source: str


class RefusedExpression(ValueError):  # noqa: N818 - it says what it is; a reader of files turns it into a SetupError
    """Not an expression of this language.

    Attributes:
        what: what is wrong with it.
        next_step: how to mend it.
    """

    def __init__(self, what: str, next_step: str) -> None:
        super().__init__(f"{what}; {next_step}")
        self.what = what
        self.next_step = next_step


def compiled(text: str, names: Mapping[str, Name], *, want: Kind = Kind.FLAG) -> Expression:
    """Check an expression and spell it in safe Python.

    Args:
        text: what its author wrote.
        names: the words it may use.
        want: what it must give; a flag is asked for by conditions, a number by amounts.

    Raises:
        RefusedExpression: with what is wrong and, for an unknown word, the nearest one.
    """
    if len(text) > MAX_LENGTH:
        raise RefusedExpression(f"longer than {MAX_LENGTH} characters", "split it into two rules")
    if not _WRITTEN.fullmatch(text):
        raise RefusedExpression("a character that no expression has", "use words, numbers and operators, on one line")
    if _RUNS_ON.search(_TEXTS.sub("''", text)):
        raise RefusedExpression("a number that runs into a word", "put a space between them")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise RefusedExpression("not an expression", "write a comparison such as devices_30d > 3") from None
    reader = _Reader(names)
    kind, source = reader.read(tree.body, 0)
    if kind != want:
        step = "compare it with something" if want == Kind.FLAG else "write what it amounts to"
        raise RefusedExpression(f"it gives {kind}, not {want}", step)
    return Expression(text, kind, frozenset(reader.used), source)


def gathered(
    arguments: Sequence[str], entries: Sequence[tuple[Expression, Expression | None]]
) -> Callable[..., list[tuple[int, float]]]:
    """Return one function over all the entries: those that hold, by position, each with how many times it counts.

    The times are brought into 0 to 1000; what is no number at all (infinity less infinity) counts 0.

    Args:
        arguments: the names of its arguments, as the table's sources use them.
        entries: condition and amount; without an amount an entry counts once.
    """
    lines = [f"def gather({', '.join(arguments)}):", "    found = []"]
    for at, (when, times) in enumerate(entries):
        lines.append(f"    if {when.source}:")
        if times is None:
            lines.append(f"        found.append(({at}, 1.0))")
        else:
            lines.append(f"        times = {times.source}")
            clipped = f"(times if times < {MAX_TIMES} else {MAX_TIMES}) if times > 0 else 0.0"  # NaN is not above 0
            lines.append(f"        found.append(({at}, {clipped}))")
    lines.append("    return found")
    return _made("\n".join(lines), "gather")


def evaluated(expression: Expression, facts: Mapping[str, object], names: Mapping[str, Name]) -> object:
    """Evaluate one expression once, by the values of its words: for explanations and tests; `gathered` is for speed."""
    words = {name: Name(names[name].kind, f"facts[{name!r}]") for name in expression.names}
    plain = compiled(expression.text, words, want=expression.kind)
    function: Callable[[Mapping[str, object]], object] = _made(f"def one(facts):\n    return {plain.source}", "one")
    return function(facts)


def _made(source: str, name: str) -> Callable[..., Any]:
    space: dict[str, Any] = {"__builtins__": {}}
    exec(source, space)  # noqa: S102 - its source is spelled by _Reader from checked parts, without any builtin
    function: Callable[..., Any] = space[name]
    return function


class _Reader:
    """Walks a parsed expression, knows a kind for each part, and spells it again."""

    def __init__(self, names: Mapping[str, Name]) -> None:
        self._names = names
        self._nodes = 0
        self._products = 0
        self.used: set[str] = set()

    def read(self, node: ast.expr, depth: int) -> tuple[Kind, str]:
        """Return kind and source of a part.

        Raises:
            RefusedExpression: it is not of this language.
        """
        self._nodes += 1
        if self._nodes > MAX_NODES or depth > MAX_DEPTH:
            raise RefusedExpression("too many parts in one expression", "split it into two rules")
        match node:
            case ast.Constant():
                return self._constant(node.value)
            case ast.Name():
                return self._name(node.id)
            case ast.BinOp():
                return Kind.NUMBER, self._arithmetic(node, depth)
            case ast.UnaryOp(op=ast.USub()):
                return Kind.NUMBER, f"(-{self._as(Kind.NUMBER, node.operand, depth)})"
            case ast.IfExp():
                return self._chosen(node, depth)
        return Kind.FLAG, self._flag(node, depth)

    def _flag(self, node: ast.expr, depth: int) -> str:
        match node:
            case ast.Compare():
                return self._compared(node, depth)
            case ast.BoolOp():
                word = " and " if isinstance(node.op, ast.And) else " or "
                return f"({word.join(self._as(Kind.FLAG, one, depth) for one in node.values)})"
            case ast.UnaryOp(op=ast.Not()):
                return f"(not {self._as(Kind.FLAG, node.operand, depth)})"
        raise _refused(node)

    def _chosen(self, node: ast.IfExp, depth: int) -> tuple[Kind, str]:
        test = self._as(Kind.FLAG, node.test, depth)
        (one, first), (two, second) = self.read(node.body, depth + 1), self.read(node.orelse, depth + 1)
        if one != two:
            raise RefusedExpression(f"one side of `if` gives {one}, the other {two}", "give both one kind")
        return one, f"({first} if {test} else {second})"

    def _as(self, want: Kind, node: ast.expr, depth: int) -> str:
        kind, source = self.read(node, depth + 1)
        if kind != want:
            step = "compare it with something" if want == Kind.FLAG else "use a number here"
            raise RefusedExpression(f"{_shown(node)} is {kind}, not {want}", step)
        return source

    def _constant(self, value: object) -> tuple[Kind, str]:
        if isinstance(value, bool):
            return Kind.FLAG, repr(value)
        if isinstance(value, (int, float)):
            if not abs(value) <= MAX_NUMBER:  # infinity, which 1e999 is, too
                raise RefusedExpression("a number above 10**12", "use a smaller one")
            return Kind.NUMBER, repr(value)
        if isinstance(value, str) and len(value) <= MAX_WORD:
            return Kind.TEXT, repr(value)
        what = f"a text longer than {MAX_WORD} characters" if isinstance(value, str) else "a constant of another kind"
        raise RefusedExpression(what, "use numbers, true, false and short texts")

    def _name(self, name: str) -> tuple[Kind, str]:
        if name in ("true", "false"):
            return Kind.FLAG, name.title()
        known = self._names.get(name)
        if known is None:
            raise RefusedExpression(f"unknown name {_cut(name)}", nearest(name, self._names))
        self.used.add(name)
        return known.kind, known.source

    def _compared(self, node: ast.Compare, depth: int) -> str:
        kind, first = self.read(node.left, depth + 1)
        parts = [first]
        for op, right in zip(node.ops, node.comparators, strict=True):
            if type(op) in _AMONG:
                if len(node.ops) > 1 or not isinstance(right, (ast.Tuple, ast.List)) or not right.elts:
                    raise RefusedExpression("`in` without a list of constants", 'write x in ("one", "two")')
                members = [self._member(kind, one) for one in right.elts]
                parts.append(f"{_AMONG[type(op)]} ({', '.join(members)},)")
                continue
            other, source = self.read(right, depth + 1)
            word = _ORDER.get(type(op)) if kind == Kind.NUMBER else None
            word = word or _EQUAL.get(type(op))
            if word is None and type(op) not in _ORDER:
                raise _refused(op)
            if other != kind or word is None:
                raise RefusedExpression(f"{kind} is compared with {other}", "compare numbers, or ask for ==")
            parts += [word, source]
        return f"({' '.join(parts)})"

    def _member(self, kind: Kind, node: ast.expr) -> str:
        self._nodes += 1
        if not isinstance(node, ast.Constant) or self._nodes > MAX_NODES:
            raise RefusedExpression("`in` without a list of constants", 'write x in ("one", "two")')
        other, source = self._constant(node.value)
        if other != kind:
            raise RefusedExpression(f"{kind} is looked for among {other}", "list what it can be")
        return source

    def _arithmetic(self, node: ast.BinOp, depth: int) -> str:
        word = _ARITHMETIC.get(type(node.op))
        if word is None:
            raise _refused(node.op)
        left, right = (self._as(Kind.NUMBER, one, depth) for one in (node.left, node.right))
        self._products += word == "*"
        if self._products > MAX_PRODUCTS:
            raise RefusedExpression(f"more than {MAX_PRODUCTS} products", "split it into two rules")
        if word not in "/%":
            return f"({left} {word} {right})"
        if isinstance(node.right, ast.Constant):
            if not node.right.value:
                raise RefusedExpression("a division by 0", "divide by another number")
            return f"({left} {word} {right})"
        if not isinstance(node.right, ast.Name):
            raise RefusedExpression("a division by more than one word", "divide by a number or by one word")
        return f"({left} {word} {right} if {right} else 0.0)"


def nearest(name: str, known: Mapping[str, object]) -> str:
    """Return a sentence that names the known word most like one that is not known."""
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    if close:
        return f"is {close[0]} meant?"
    return f"known are: {', '.join(sorted(known))}"


def _refused(node: ast.AST) -> RefusedExpression:
    what = _SAID.get(type(node), "something that rules cannot use")
    return RefusedExpression(f"{what} in an expression", "use words, constants, comparisons, and or not, + - * / %")


def _shown(node: ast.expr) -> str:
    return _cut(ast.unparse(node))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_WORD else f"{text[:MAX_WORD]}..."
