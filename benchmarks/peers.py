"""Other engines that could decide, each asked the same questions over the same facts.

A question is (granted, minute, until): whether the fields asked for were granted, now, and until
when. Each peer keeps its rule compiled, as its documentation advises for speed, and is handed the
facts ready made: our own figure includes finding the customer's, theirs does not.
Install them with `make peers`; one that is missing is skipped and says so.
"""

from collections.abc import Callable
from typing import Any

Question = tuple[bool, int, int]
Decider = Callable[[Question], bool]
RULE = "granted && minute < until"


def deciders() -> dict[str, tuple[str, Callable[[], Decider]]]:
    """By name: what it is, and what makes it. Making it raises ImportError where it is missing."""
    return {
        "CEL in C++ (cel-expr-python)": ("compiled expression", _cel_cpp),
        "CEL in Rust (common-expression-language)": ("compiled expression", _cel_rust),
        "Rego (regopy)": ("compiled bundle", _rego),
        "Casbin (pycasbin)": ("ABAC matcher", _casbin),
    }


def _cel_cpp() -> Decider:
    from cel_expr_python import cel

    kinds = {"granted": cel.Type.BOOL, "minute": cel.Type.INT, "until": cel.Type.INT}
    rule = cel.NewEnv(variables=kinds).compile(RULE)

    def decide(asked: Question) -> bool:
        granted, minute, until = asked
        facts = {"granted": granted, "minute": minute, "until": until}
        return bool(rule.eval(data=facts).plain_value())

    return decide


def _cel_rust() -> Decider:
    import cel

    rule = cel.compile(RULE)

    def decide(asked: Question) -> bool:
        granted, minute, until = asked
        return bool(rule.execute({"granted": granted, "minute": minute, "until": until}))

    return decide


def _rego() -> Decider:
    from regopy import Interpreter

    engine = Interpreter()
    engine.add_module(
        "gate",
        "package gate\n"
        "default allow := false\n"
        "allow if { input.granted; input.minute < input.until }\n",
    )
    bundle = engine.build("data.gate.allow", ["gate/allow"])

    def decide(asked: Question) -> bool:
        granted, minute, until = asked
        engine.set_input({"granted": granted, "minute": minute, "until": until})
        return str(engine.query_bundle(bundle)) == '{"expressions":[true]}'

    return decide


def _casbin() -> Decider:
    import casbin

    model = casbin.Model()
    model.load_model_from_text(
        "[request_definition]\nr = facts, scene\n"
        "[policy_definition]\np = scene\n"
        "[policy_effect]\ne = some(where (p.eft == allow))\n"
        "[matchers]\nm = r.scene == p.scene && r.facts.granted && r.facts.minute < r.facts.until\n"
    )
    engine: Any = casbin.Enforcer(model)
    engine.add_policy("segmentation")

    class Facts:
        def __init__(self, asked: Question) -> None:
            self.granted, self.minute, self.until = asked

    def decide(asked: Question) -> bool:
        return bool(engine.enforce(Facts(asked), "segmentation"))

    return decide
