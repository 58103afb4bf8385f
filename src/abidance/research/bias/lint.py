"""Static reading of a strategy's source. It finds what a replay may miss, and gives a replay's findings a reason."""

import ast
from collections.abc import Iterator, Sequence

from abidance.research.bias.report import Check, Verdict
from abidance.research.bias.rules import (
    CHANCE,
    FUTURE,
    STATE,
    Finding,
    Surroundings,
    of_assignment,
    of_loop,
    of_subscript,
    suspicions,
)
from abidance.research.bias.source import Definition, Source, dotted
from abidance.strategy.base import BarStrategy
from abidance.strategy.mistakes import Place

NAME = "source"
_MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
_MAKERS = {"list", "dict", "set", "defaultdict", "deque", "Counter", "OrderedDict", "bytearray"}
_CACHES = {"cache", "lru_cache"}
_GROWING = {
    "append",
    "extend",
    "insert",
    "add",
    "update",
    "setdefault",
    "pop",
    "popitem",
    "clear",
    "remove",
    "discard",
}


def lint(sources: Sequence[Source], cls: type) -> list[Finding]:
    """Return what is suspicious in a strategy's source, in the order of its lines. Events may be remembered."""
    found: dict[tuple[str, int, str], Finding] = {}
    for source in sources:
        for definition in source.reached():
            walk = _Walk(source, remembers=not issubclass(cls, BarStrategy))
            walk.visit(definition)
            for each in walk.found:
                found.setdefault((each.place.file, each.place.line, each.message), each)
    return sorted(found.values(), key=lambda each: (each.place.file, each.place.line))


def check_source(sources: Sequence[Source], findings: Sequence[Finding], blamed: Sequence[Place]) -> Check:
    """Say what the source alone looks like; what a replay blamed, too, is no suspicion any more."""
    if not sources:
        told = "Its source cannot be read, so nothing is known about it but what it decides."
        return Check(NAME, Verdict.UNCHECKED, told)
    if not findings:
        return Check(
            NAME,
            Verdict.PASS,
            "Nothing in its source looks ahead, draws lots, reads the clock or keeps state.",
        )
    places = {(place.file, place.line) for place in blamed}
    confirmed = [each for each in findings if _is_blamed(each, sources, places)]
    told = " ".join(f"{each.place}: `{each.place.text}`. {each.message}" for each in findings[:5])
    more = f" And {len(findings) - 5} more." if len(findings) > 5 else ""
    evidence = {"findings": [{"kind": e.kind, "line": e.place.line, "message": e.message} for e in findings]}
    if confirmed:
        verdict, remedy = Verdict.FAIL, "A replay confirms it."
    else:
        verdict, remedy = (
            Verdict.WARN,
            "No replay confirms it: look at the line, and leave it if you know better.",
        )
    return Check(NAME, verdict, told + more, remedy, tuple(each.place for each in findings), evidence)


def _is_blamed(finding: Finding, sources: Sequence[Source], blamed: set[tuple[str, int]]) -> bool:
    for source in sources:
        if source.file == finding.place.file:
            node = source.statement(finding.place.line)
            first = node.lineno if node is not None else finding.place.line
            return (source.file, first) in blamed or (source.file, finding.place.line) in blamed
    return False


class _Walk(ast.NodeVisitor):
    """Walks one definition and gathers findings."""

    def __init__(self, source: Source, *, remembers: bool) -> None:
        self.found: list[Finding] = []
        self._source = source
        self._remembers = remembers
        self._around = Surroundings(source.names)
        self._shared = set(_shared(source.tree))
        self._function = ""

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Look at what all instances share."""
        for each in node.body:
            value = getattr(each, "value", None)
            if isinstance(each, ast.Assign | ast.AnnAssign) and _is_mutable(value):
                self._note(
                    STATE,
                    each,
                    "All instances, in all runs of the process, share this; it may keep what it saw.",
                )
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Remember in which method we are, and which names hold stretches of rows."""
        for decorator in node.decorator_list:
            name = dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
            if name.rpartition(".")[2] in _CACHES:
                self._note(STATE, decorator, f"`{name}` outlives the call and may keep what it saw.")
        outer, self._function = self._function, self._function or node.name
        for each in ast.walk(node):
            if isinstance(each, ast.For):
                self._around.windows |= {n.id for n in ast.walk(each.target) if isinstance(n, ast.Name)}
            elif isinstance(each, ast.Assign) and _is_stretch(each.value):
                self._around.windows |= {t.id for t in each.targets if isinstance(t, ast.Name)}
        for statement in (*node.args.defaults, *node.args.kw_defaults, *node.body):
            if statement is not None:
                self.visit(statement)
        self._function = outer

    def visit_Call(self, node: ast.Call) -> None:
        """Look at what is called."""
        for kind, message in suspicions(node, self._around):
            self._note(kind, node, message)
        name = dotted(node.func)
        owner, _, method = name.rpartition(".")
        if self._function and method in _GROWING and owner in self._shared:
            self._note(STATE, node, f"`{owner}` outlives the call and may keep what it saw.")
        if method in _GROWING and self._keeps(owner):
            self._note(STATE, node, f"`{owner}` is kept from one call to the next.")
        self._around.calls.append(name.rpartition(".")[2])
        self.generic_visit(node)
        self._around.calls.pop()

    def visit_Assign(self, node: ast.Assign) -> None:
        """Look at what is written, and where."""
        if message := of_assignment(node):
            self._note(FUTURE, node, message)
        self._written(node, node.targets)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """Look at what is counted."""
        self._written(node, [node.target])
        self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> None:
        """Note a name of the module that a call writes."""
        self._note(STATE, node, f"`{', '.join(node.names)}` outlives the call and may keep what it saw.")

    def visit_For(self, node: ast.For) -> None:
        """Look at what a loop over rows reads."""
        for place, message in of_loop(node):
            self._note(FUTURE, place, message)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """Look at which rows are taken."""
        if message := of_subscript(node, self._around):
            self._note(FUTURE, node, message)
        if self._around.full(node.value) == "os.environ":
            self._note(CHANCE, node, "`os.environ` reads the environment.")
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Look for the door that shows other series beyond the moment."""
        if node.attr == "universe":
            self._note(
                FUTURE, node, "`universe` may hold later bars than this moment's; `bars.other` does not."
            )
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Look for decisions by the number of bars."""
        is_length = isinstance(node.left, ast.Call) and dotted(node.left.func) == "len"
        if isinstance(node.op, ast.Mod) and is_length:
            self._note(FUTURE, node, "The number of bars changes with each close, and with it every row.")
        self.generic_visit(node)

    def _written(self, node: ast.stmt, targets: list[ast.expr]) -> None:
        for target in targets:
            held = target
            while isinstance(held, ast.Subscript):
                held = held.value
            name = dotted(held)
            if self._keeps(name):
                self._note(STATE, node, f"`{name}` is kept from one call to the next.")
            elif self._function and (
                (isinstance(target, ast.Subscript) and name in self._shared) or _of_class(held)
            ):
                name = ast.unparse(held)
                self._note(STATE, node, f"`{name}` outlives the call and may keep what it saw.")

    def _keeps(self, name: str) -> bool:
        is_own = name.startswith(("self.", "cls."))
        return is_own and not self._remembers and self._function not in {"", "__init__", "__post_init__"}

    def _note(self, kind: str, node: ast.stmt | ast.expr, message: str) -> None:
        if kind == STATE and self._remembers and "instances" not in message and "outlives" not in message:
            return
        self.found.append(Finding(kind, self._source.place(node), message))


def _shared(tree: ast.Module) -> Iterator[str]:
    """Yield the module's own names that hold something mutable."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and _is_mutable(node.value):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif (
            isinstance(node, ast.AnnAssign) and _is_mutable(node.value) and isinstance(node.target, ast.Name)
        ):
            yield node.target.id
        elif isinstance(node, Definition) and isinstance(node, ast.ClassDef):
            yield from (f"{node.name}.{name}" for name in _shared(ast.Module(node.body, [])))


def _of_class(node: ast.expr) -> bool:
    """Say whether something is assigned to a class: `type(self).x`, `self.__class__.x`."""
    if not isinstance(node, ast.Attribute):
        return False
    owner = node.value
    is_type = isinstance(owner, ast.Call) and dotted(owner.func) == "type"
    return is_type or (isinstance(owner, ast.Attribute) and owner.attr == "__class__")


def _is_mutable(node: ast.AST | None) -> bool:
    made = isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] in _MAKERS
    return isinstance(node, _MUTABLE) or made


def _is_stretch(node: ast.expr) -> bool:
    if not (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)):
        return False
    return node.slice.upper is not None
