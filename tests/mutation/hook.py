"""Puts one mutant in place in this process: instead of its module, or inside the loaded one.

A change inside a function needs no import: the functions that are loaded get the changed code. A
change of a constant of the module or of a class is made before anything imports the module.

Nothing on disk changes, so a run disturbs no other work in the same folder. Processes that a test
starts have the module as it is, so the tests of a place are those that call it in their own.
"""

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import CodeType, FunctionType, ModuleType
from typing import Any

from tests.mutation.mutants import Mutant, mutated


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, file: str, tree: ast.Module) -> None:
        self._file, self._tree = file, tree
        self._name = file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")

    def find_spec(
        self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self._name:
            return None
        return importlib.util.spec_from_file_location(name, self._file, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._tree, self._file, "exec"), module.__dict__)


def install(mutant: Mutant) -> None:
    name = mutant.file.removesuffix(".py").replace("/", ".")
    tree = mutated(mutant)
    if name not in sys.modules:
        sys.meta_path.insert(0, Finder(mutant.file, tree))
    elif mutant.in_function:
        _exchange(sys.modules[name], compile(tree, mutant.file, "exec"))
    else:
        raise AssertionError(f"{name} is loaded already")


def _exchange(module: ModuleType, code: CodeType) -> None:
    changed = {**module.__dict__}
    exec(code, changed)
    loaded = dict(_functions(module.__dict__, module.__name__))
    for name, function in _functions(changed, module.__name__):
        if name in loaded:
            loaded[name].__code__ = function.__code__
            loaded[name].__defaults__ = function.__defaults__
            loaded[name].__kwdefaults__ = function.__kwdefaults__


def _functions(members: Mapping[str, Any], module: str) -> Iterator[tuple[str, FunctionType]]:
    """The functions that a module or class defines itself, by their dotted names."""
    for each in members.values():
        if getattr(each, "__module__", module) != module:
            continue
        if isinstance(each, type):
            yield from _functions({**each.__dict__}, module)
            continue
        inner = getattr(each, "fget", None) or getattr(each, "__func__", None) or each
        function = inspect.unwrap(inner) if callable(inner) else inner
        if isinstance(function, FunctionType):
            yield function.__qualname__, function
