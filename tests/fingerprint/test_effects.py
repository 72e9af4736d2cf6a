"""What importing modules does beside binding names: it fills tables, sets up libraries, patches.

``CHANGES`` and ``KEEPS`` are single edits of a project. Those that change it must show in the
manifest of the experiment, the others must not.
"""

from __future__ import annotations

import importlib
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_memento.fingerprint import Codebase

REG = """
import functools
from collections import defaultdict
class Registry:
    def __init__(self): self.d = {}
    def register(self, name):
        def deco(f):
            self.d[name] = f
            return f
        return deco
    def add(self, name, f):
        self.d[name] = f
        return f
    def get(self, name): return self.d[name]
HUB = Registry()
register_model = HUB.register
KINDS = {}
def register_kind(kind, name):
    def deco(f):
        KINDS.setdefault(kind, {})[name] = f
        return f
    return deco
HOOKS = defaultdict(list)
def hook(kind):
    def deco(f):
        HOOKS[kind].append(f)
        return f
    return deco
BY = {"models": Registry()}
TASKS = Registry()
_STORE = {}
class App:
    def route(self, name):
        def deco(f):
            _STORE[name] = f
            return f
        return deco
app = App()
METRICS = {}
def metric(name):
    def deco(f):
        METRICS[name] = f
        return f
    return deco
CLOSED = {}
def make_register(table):
    def register(name):
        def deco(f):
            table[name] = f
            return f
        return deco
    return register
closed = make_register(CLOSED)
PART = {}
def reg_part(table_name, name):
    def deco(f):
        PART[name] = f
        return f
    return deco
part = functools.partial(reg_part, "t")
STEPS = []
def step(f):
    STEPS.append(f)
    return f
_REGS = {}
def get_reg(name):
    return _REGS.setdefault(name, Registry())
def timed(f):
    @functools.wraps(f)
    def wrapper(*args):
        return f(*args)
    return wrapper
SIZE = 3
"""
PLUG = """
import decimal
D = decimal.Decimal
same = decimal.Decimal
other = D(15)
@same
def aliased(x): return x + 16
from reg import *
import reg
@register_model("a")
def a(x): return x + 1
@register_kind("x", "b")
def b(x): return x + 2
@hook("pre")
def c(x): return x + 3
@BY["models"].register("net")
def e(x): return x + 4
def t_impl(x): return x + 5
t = TASKS.add("t", t_impl)
@app.route("s")
def s(x): return x + 6
class Metrics:
    @metric("acc")
    def acc(y): return y + 7
@closed("q")
def q(x): return x + 8
@part("pp")
def pp(x): return x + 9
@step
def s1(x): return x + 11

@step
def s2(x): return x * 12

@reg.get_reg("models").register("via")
def via(x): return x + 13
@timed
def unrelated(x): return x + 14
taken = TASKS.get("t")
"""


def reading(what: str, **more: str) -> dict[str, str]:
    """Return a project of which the experiment reads a registry."""
    experiment = f"import reg, plug\ndef experiment(): return {what}\n"
    return {"exp_e.py": experiment, "reg.py": REG, "plug.py": PLUG, **more}


def project(read: str, **files: str) -> dict[str, str]:
    """Return a project of which the experiment returns something; *read* may have imports."""
    *imports, what = read.split("; ")
    lines = [*imports, f"def experiment(): return {what}"]
    named = {f"{name}.py": text for name, text in files.items()}
    return {"exp_e.py": "\n".join(lines) + "\n", **named}


SUBCLASSES = {
    "base": """
MODELS = {}
class Base:
    def __init_subclass__(cls, **kw):
        super().__init_subclass__(**kw)
        MODELS[cls.__name__] = cls
def build(name): return MODELS[name]().run
METAS = {}
class Meta(type):
    def __new__(m, name, bases, ns):
        cls = super().__new__(m, name, bases, ns)
        METAS[name] = cls
        return cls
class WithMeta(metaclass=Meta): pass
def by_meta(name): return METAS[name]().run
class Root: pass
def by_subclasses(name):
    return {c.__name__: c for c in Root.__subclasses__()}[name]().run
class Inst:
    all = {}
    def __init__(self, name, f):
        self.f = f
        self.all[name] = self
""",
    "impls": """
from base import Base, WithMeta, Root, Inst
class Small(Base):
    def run(self, x): return x + 1
class MetaNet(WithMeta):
    def run(self, x): return x + 2
class Leaf(Root):
    def run(self, x): return x + 3
def one_impl(x): return x + 4
one = Inst("one", one_impl)
def unrelated(x): return x + 5
class Unrelated:
    def run(self, x): return x + 6
""",
}
PATCHED = {
    "helpers": """
def deep(x): return x
def other(x): return x
class Net: pass
class A: pass
class B: pass
class Tup: pass
TABLE = {"q": 1}
lst = []
""",
    "settings": "",
    "patches": """
import helpers, settings
def new_deep(x): return x * 3
def new_other(x): return x * 4
setattr(helpers, "deep", new_deep)
helpers.__dict__["other"] = new_other
settings.device = "cpu"
def run(self, x): return x + 5
setattr(helpers.Net, "run", run)
for cls in (helpers.A, helpers.B):
    cls.lr = 0.1
t = helpers.TABLE
t["q"] = 7
list.extend(helpers.lst, [1, 2])
for word in ["go"]:
    def method(self): return 8
    setattr(helpers.Tup, word, method)
def unrelated(): return 9
LIMIT = 10
""",
}


def prec(text: str) -> dict[str, str]:
    source = "import decimal, random\n" + text + "\ndef unrelated(): return 77\nX = 66\n"
    return project("import prec; 1", prec=source)


def own(text: str, what: str) -> dict[str, str]:
    return {"exp_e.py": f"{text}\ndef experiment(): return {what}\n", "helpers.py": "x = 1\n"}


MIXED = """
import logging, functools, pathlib, numba, mlflow, argparse, torch
from dataclasses import dataclass, field
log = logging.getLogger(__name__)
ROOT = pathlib.Path(__file__).parent
DATA = ROOT.joinpath("data")
@dataclass
class Cfg:
    lr: float = 0.1
    tags: list = field(default_factory=list)
    def add(self, tag): self.tags.append(tag)
    def rate(self): return self.lr * 2
cfg = Cfg()
other_cfg = Cfg(lr=0.3)
RATE = cfg.rate() + 11
TABLE = {"a": 1}
NAMES = sorted(TABLE)[12:]
COPY = dict(TABLE, b=13)
def timed(f):
    @functools.wraps(f)
    def wrapper(*args):
        mlflow.log_metric("t", 1)
        log.info("x")
        return f(*args)
    return wrapper
@timed
def slow(x): return x + 14
jit = functools.partial(numba.njit, cache=True)
@jit
def jitted(x): return x + 15
class Model:
    def __init__(self): self.layers = []
    def fit(self):
        torch.manual_seed(0)
        self.layers.append(1)
model = Model()
parser = argparse.ArgumentParser()
parser.add_argument("--n", default=16)
def say(name):
    def deco(f):
        logging.debug("say %s", name)
        return f
    return deco
@say("n")
def said(x): return x + 17
Q = []
def fill(queue): queue.append(18)
fill(Q)
LATE = 0
def init():
    global LATE
    LATE = 19
done = init()
"""
MIXED_READ = (
    "import mixed; from mixed import Cfg, cfg, TABLE; Cfg, cfg, TABLE, mixed.model, mixed.ROOT"
)


Case = tuple[dict[str, str], str, str]

INIT = "def init(p):\n    decimal.getcontext().prec = p\n    return True\n"
BOTH = "DONE = []\ndef init(p):\n    DONE.append(p)\n    decimal.getcontext().prec = p\n"
FLAG = "SET = False\ndef init(p):\n    global SET\n    SET = True\n    random.seed(p)\n"
GEN = "def make(i):\n    def f(x): return x * 8 + i\n    return f\n"
LOADED = "import contextlib\n@contextlib.contextmanager\ndef loaded(n): yield [n] * 2\n"
MATCH = 'CFG = {"lr": 0.1}\nmatch CFG:\n    case {"lr": LR}: pass\n'
RAISED = "try:\n    raise ValueError(7)\nexcept ValueError as err:\n    X = err.args[0]\n"
S1 = "@step\ndef s1(x): return x + 11\n"
S2 = "@step\ndef s2(x): return x * 12\n"

CHANGES: dict[str, Case] = {
    "alias of a method": (reading("reg.HUB.get('a')(1)"), "x + 1\n", "x + 100\n"),
    "setdefault(...)[name] =": (reading("reg.KINDS"), "x + 2", "x + 20"),
    "TABLE[kind].append": (reading("reg.HOOKS"), "x + 3", "x + 30"),
    "decorator from a table": (reading("reg.BY"), "x + 4", "x + 40"),
    "method, value assigned": (reading("reg.TASKS.get('t')(1)"), "x + 5", "x + 50"),
    "method writes another global": (reading("reg._STORE"), "x + 6", "x + 60"),
    "decorated method": (reading("reg.METRICS"), "y + 7", "y + 70"),
    "decorator from a factory": (reading("reg.CLOSED"), "x + 8", "x + 80"),
    "decorator from partial": (reading("reg.PART"), "x + 9", "x + 90"),
    "order of registration": (reading("reg.STEPS"), f"{S1}\n{S2}", f"{S2}\n{S1}"),
    "decorator from a function": (reading("reg._REGS"), "x + 13", "x + 130"),
    "decorator from a function, by it": (reading("reg.get_reg('models')"), "x + 13", "x + 130"),
    "__init_subclass__": (project("import base, impls; base.build('Small')", **SUBCLASSES),
                          "x + 1", "x + 10"),
    "metaclass": (project("import base, impls; base.by_meta('MetaNet')", **SUBCLASSES),
                  "x + 2", "x + 20"),
    "__subclasses__ in a function": (
        project("import base, impls; base.by_subclasses('Leaf')", **SUBCLASSES),
        "x + 3", "x + 30"),
    "instance in an attribute of the class": (
        project("import base, impls; base.Inst.all", **SUBCLASSES), "x + 4", "x + 40"),
    "setattr(module, name, f)": (project("import helpers, patches; helpers.deep(1)", **PATCHED),
                                 "x * 3", "x * 30"),
    "module.__dict__": (project("import helpers, patches; helpers.other(1)", **PATCHED),
                        "x * 4", "x * 40"),
    "attribute that a module lacks": (
        project("import settings, patches; settings.device", **PATCHED), "cpu", "gpu"),
    "setattr(class, name, f)": (project("import helpers, patches; helpers.Net().run(1)", **PATCHED),
                                "x + 5", "x + 50"),
    "attribute of classes in a loop": (project("import helpers, patches; helpers.A.lr", **PATCHED),
                                       "lr = 0.1", "lr = 0.2"),
    "other name of a table": (project("import helpers, patches; helpers.TABLE", **PATCHED),
                              '["q"] = 7', '["q"] = 8'),
    "list.extend(list, ...)": (project("import helpers, patches; helpers.lst", **PATCHED),
                               "[1, 2]", "[1, 3]"),
    "loop with setattr": (project("import helpers, patches; helpers.Tup().go()", **PATCHED),
                          "return 8", "return 80"),
    "vars(module).update": (project("import helpers, patches; helpers.x", helpers="x = 1",
                                    patches="import helpers\nvars(helpers).update(x=5)"),
                            "x=5", "x=6"),
    "module by its name": (
        project("import helpers, patches; helpers.x", helpers="x = 1",
                patches='import importlib\nm = importlib.import_module("helpers")\nm.x = 5'),
        "x = 5", "x = 6"),
    "attribute of a result": (prec("decimal.getcontext().prec = 5"), "= 5", "= 7"),
    "own and external": (prec(f"{BOTH}init(5)"), "init(5)", "init(7)"),
    "flag and external": (prec(f"{FLAG}init(5)"), "init(5)", "init(7)"),
    "own and external, bound": (prec(f"{BOTH}done = init(5)"), "init(5)", "init(7)"),
    "bound to _": (prec(f"{INIT}_ = init(5)"), "init(5)", "init(7)"),
    "bound to a name": (prec(f"{INIT}ready = init(5)"), "init(5)", "init(7)"),
    "asserted": (prec(f"{INIT}assert init(5)"), "init(5)", "init(7)"),
    "tested": (prec(f"{INIT}if init(5): pass"), "init(5)", "init(7)"),
    "external, bound": (prec("old = decimal.setcontext(decimal.Context(prec=5))"), "c=5", "c=7"),
    "external, bound to _": (prec("_ = random.getstate(5)"), "(5)", "(7)"),
    "argument of a call": (project("import mixed; mixed.Q", mixed=MIXED), "(18)", "(1)"),
    "global of a function whose value is kept": (
        project("import mixed; mixed.LATE", mixed=MIXED), "LATE = 19", "LATE = 1"),
    "exec": (project("import gen; gen.K", gen='exec("K = 5")'), "K = 5", "K = 6"),
    "globals()[...]": (
        project("import gen; gen.f1(1)",
                gen=f'{GEN}for i in 1, 2:\n    globals()[f"f{{i}}"] = make(i)'),
        "x * 8", "x * 9"),
    "globals().update": (
        project("import gen; gen.f1(1)", gen=f"{GEN}globals().update(f1=make(1))"),
        "x * 8", "x * 9"),
    ":= in a test": (own("if (DEBUG := 3) > 1:\n    MODE = 1", "DEBUG"), ":= 3", ":= 4"),
    "with ... as": (own(f"{LOADED}with loaded(4) as DATA: pass", "DATA"), "(4)", "(5)"),
    "captured": (own(MATCH, "LR"), "0.1", "0.2"),
    "caught": (own(RAISED, "X"), "(7)", "(8)"),
    "not __main__": (own('if __name__ != "__main__":\n    DEPTH = 3', "DEPTH"), "= 3", "= 4"),
    "bound again before its use": (own("LR = 1\nTWO = LR * 2\nLR = 5", "TWO"),
                                   "TWO = LR * 2\nLR = 5", "LR = 5\nTWO = LR * 2"),
    "bound again before a default": (own("K = 1\ndef f(k=K): return k\nK = 2", "f()"),
                                     "def f(k=K): return k\nK = 2", "K = 2\ndef f(k=K): return k"),
}  # fmt: skip

KEEPS: dict[str, Case] = {
    "not registered": (reading("reg.HUB, reg.KINDS, reg.STEPS, reg.TASKS"), "x + 14", "x + 140"),
    "path from a path": (project(MIXED_READ, mixed=MIXED), "joinpath(\"data", "joinpath(\"date"),
    "another instance": (project(MIXED_READ, mixed=MIXED), "lr=0.3", "lr=0.4"),
    "constant from a method": (project(MIXED_READ, mixed=MIXED), "+ 11", "+ 12"),
    "constant from a table": (project(MIXED_READ, mixed=MIXED), "[12:]", "[:12]"),
    "copy of a table": (project(MIXED_READ, mixed=MIXED), "b=13", "b=14"),
    "timed function": (project(MIXED_READ, mixed=MIXED), "x + 14", "x + 1"),
    "compiled function": (project(MIXED_READ, mixed=MIXED), "x + 15", "x + 1"),
    "function that is logged": (project(MIXED_READ, mixed=MIXED), "x + 17", "x + 1"),
    "parser of arguments": (project(MIXED_READ, mixed=MIXED), "default=16", "default=1"),
    "another object": (project(MIXED_READ, mixed=MIXED), "model = Model()",
                       "model = Model()\nmore = Model()"),
    "decorated by an alias of a library": (reading("reg.HUB"), "x + 16", "x + 160"),
    "made by an alias of a library": (reading("plug.D"), "D(15)", "D(16)"),
    "registered elsewhere": (reading("reg.KINDS"), "x + 13", "x + 130"),
    "constant beside tables": (reading("reg.KINDS"), "SIZE = 3", "SIZE = 4"),
    "only looked up": (reading("reg.TASKS"), 'TASKS.get("t")', 'TASKS.get("u")'),
    "unrelated function": (project("import base, impls; base.build, base.by_meta, base.Inst",
                                   **SUBCLASSES), "x + 5", "x + 50"),
    "unrelated class": (project("import base, impls; base.build, base.by_subclasses", **SUBCLASSES),
                        "x + 6", "x + 60"),
    "unrelated function beside patches": (
        project("import helpers, patches; helpers.deep(1), helpers.Net, helpers.TABLE", **PATCHED),
        "return 9", "return 90"),
    "unrelated constant beside patches": (
        project("import helpers, patches; helpers.deep(1)", **PATCHED), "= 10", "= 11"),
    "function beside an effect": (prec(f"{BOTH}init(5)"), "return 77", "return 78"),
    "constant beside an effect": (prec(f"{BOTH}init(5)"), "X = 66", "X = 67"),
    "constant made by a function": (prec("def make(p): return p\nY = make(5)"), "(5)", "(7)"),
    "constant made by a library": (prec("Y = decimal.Decimal(5)"), "(5)", "(7)"),
    "constant under a test": (prec("if decimal.getcontext():\n    Y = 5"), "= 5", "= 7"),
    "what runs as a script": (own('if "__main__" == __name__:\n    print(3)', "1"), "(3)", "(4)"),
    "order of unrelated bindings": (own("A = 1\nB = 2\nA = 3", "A"),
                                    "A = 1\nB = 2", "B = 2\nA = 1"),
}  # fmt: skip

Describe = Callable[[dict[str, str]], dict[str, str]]


@pytest.fixture
def describe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Describe:
    """Return a function that writes a project and describes its experiment."""
    monkeypatch.syspath_prepend(tmp_path)

    def describe_project(files: dict[str, str]) -> dict[str, str]:
        for name, source in files.items():
            (tmp_path / name).write_text(source)
        importlib.invalidate_caches()
        module = types.ModuleType("exp_e")  # not executed: code is read
        module.__file__ = str(tmp_path / "exp_e.py")
        code = Codebase(tmp_path).describe(print, path=("experiment",), module=module)
        return {**code.manifest}

    return describe_project


def edited(case: Case) -> dict[str, str]:
    files, before, after = case
    assert sum(text.count(before) for text in files.values()) == 1
    return {name: text.replace(before, after) for name, text in files.items()}


@pytest.mark.parametrize("name", CHANGES)
def test_counts(name: str, describe: Describe) -> None:
    case = CHANGES[name]
    assert describe(case[0]) != describe(edited(case))


@pytest.mark.parametrize("name", KEEPS)
def test_does_not_count(name: str, describe: Describe) -> None:
    case = KEEPS[name]
    assert describe(case[0]) == describe(edited(case))
