"""The organisation's policy, in Cedar: which service may read which field in which scene.

A policy is two pairs of files in one folder. `consent.cedar` belongs to the product and may refer
to grants and time. `organisation.cedar` is the organisation's own and may not, so that it can be
compiled once per service and scene. Both are validated at load in a separate process with limits on
size, nesting, time, memory and stack, because a hostile policy can crash its parser or evaluator. A
policy that fails validation is not used at all. **Any diagnostic error denies**, since Cedar skips
a `forbid` that raises an error.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from gate.contracts.scene import Scene, Service
from gate.contracts.specs import specs_folder
from ledger.tlog import atomic_file

MAX_BYTES = 64 * 1024
MAX_NESTING = 64
CHECK_TIMEOUT_S = 20
CHECK_MEMORY_BYTES = 2 << 30
CHECK_STACK_BYTES = 512 << 10  # 1/16 of a thread's: what passes cannot overflow the gate's

FAR = 2**62  # a minute in the far future


class CedarPolicyError(ValueError):
    """The policy cannot be used. The message says what is wrong and where."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Cedar rules and their schema."""

    schema: str
    rules: str


@dataclass(frozen=True, slots=True)
class CedarPolicy:
    """A validated policy. `digest`: SHA-256 over all its files, in hex."""

    rules: str  # rules of both pairs
    digest: str
    parsed: Any = field(repr=False, compare=False)  # cedarpy.PolicySet
    consent: Pair = field(default=Pair("", ""), repr=False, compare=False)
    organisation: Pair = field(default=Pair("", ""), repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        """Pickle as text, which is already validated and is parsed again on load."""
        return _restored, (self.rules, self.digest)


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """The Cedar context of a request for one field: see `specs/policy/consent.cedarschema`."""

    field: str
    granted: bool
    minute: int
    until: int
    frozen: bool


def law_folder() -> Path:
    """The folder of the product's own rules, and of the schema for an organisation's."""
    return specs_folder() / "policy"


def load(folder: Path, organisation: Path | None = None) -> CedarPolicy:
    """Read and validate a policy. Raises CedarPolicyError.

    `organisation`: the folder of the organisation's rules, if it is not `folder`; their schema is
    the product's.
    """
    return check(law(folder), _pair(folder, "organisation", organisation))


def law(folder: Path) -> Pair:
    """The product's own rules and schema in `folder`."""
    return _pair(folder, "consent")


def check(consent: Pair, organisation: Pair) -> CedarPolicy:
    """Validate both pairs in a separate process. Raises CedarPolicyError."""
    for pair in (consent, organisation):
        cap(pair.schema)
        cap(pair.rules)
        validate_elsewhere(_ONCE, pair.schema, pair.rules)
    rules = f"{consent.rules}\n{organisation.rules}"
    restored = _restored(rules, _digest(consent, organisation))
    return replace(restored, consent=consent, organisation=organisation)


def stored_digest(folder: Path) -> str:
    """The digest of the policy in `folder`, which is not validated. Raises CedarPolicyError."""
    return _digest(law(folder), _pair(folder, "organisation"))


def keep(policy: CedarPolicy, folder: Path) -> Path:
    """Write the policy to `folder`/<digest>, readable by `load`; durable. Returns its path."""
    place = folder / policy.digest
    for name, pair in (("consent", policy.consent), ("organisation", policy.organisation)):
        for kind, text in (("cedar", pair.rules), ("cedarschema", pair.schema)):
            path = place / f"{name}.{kind}"
            if not path.exists():
                atomic_file.write(path, text.encode())
    return place


def _restored(rules: str, digest: str) -> CedarPolicy:
    import cedarpy

    return CedarPolicy(rules, digest, cedarpy.PolicySet.from_str(rules))


def offered(policy: CedarPolicy, scene: Scene, service: str) -> frozenset[str]:
    """The fields that the service may read under the policy if every customer grants them."""
    asked = [
        PolicyFacts(name, granted=True, minute=0, until=FAR, frozen=False) for name in scene.fields
    ]
    allowed = permits(policy, scene, service, asked)
    return frozenset(name for name, yes in zip(scene.fields, allowed, strict=True) if yes)


def permits(
    policy: CedarPolicy, scene: Scene, service: str, asked: Sequence[PolicyFacts]
) -> list[bool]:
    """Evaluate full Cedar for each of `asked`. A diagnostic error denies."""
    import cedarpy

    requests = [_request(scene, service, facts) for facts in asked]
    results = cedarpy.is_authorized_batch(requests, policy.parsed, _entities(scene, service))
    return [
        result.decision is cedarpy.Decision.Allow and not result.diagnostics.errors
        for result in results
    ]


def _request(scene: Scene, service: str, facts: PolicyFacts) -> dict[str, Any]:
    return {
        "principal": {"type": "Service", "id": service},
        "action": {"type": "Action", "id": "read"},
        "resource": {"type": "Scene", "id": scene.id},
        "context": {
            "field": facts.field,
            "granted": facts.granted,
            "minute": facts.minute,
            "until": facts.until,
            "frozen": facts.frozen,
        },
    }


def _entities(scene: Scene, service: str) -> list[dict[str, Any]]:
    named = {each.id: each for each in scene.services}
    services = named | ({} if service in named else {service: Service(service, {}, partner=False)})
    attributes = {
        "purpose": scene.purpose,
        "basis": scene.legal_basis.value,
        "fallback": scene.fallback.value,
        "services": [{"__entity": {"type": "Service", "id": each}} for each in named],
    }
    return [
        _entity("Scene", scene.id, attributes),
        *(_entity("Service", each.id, {"partner": each.partner}) for each in services.values()),
    ]


def _entity(kind: str, name: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {"uid": {"type": kind, "id": name}, "attrs": dict(attributes), "parents": []}


def _digest(consent: Pair, organisation: Pair) -> str:
    everything = (consent.schema, consent.rules, organisation.schema, organisation.rules)
    return sha256("\0".join(everything).encode()).hexdigest()


def _pair(folder: Path, name: str, rules: Path | None = None) -> Pair:
    """A pair of files; `rules`: the folder of the rules, if it is not that of the schema."""
    try:
        text = ((rules or folder) / f"{name}.cedar").read_text("utf-8")
        return Pair((folder / f"{name}.cedarschema").read_text("utf-8"), text)
    except (OSError, UnicodeDecodeError) as error:
        place = rules or folder
        raise CedarPolicyError(f"{place}: cannot be read: {error}; restore the file") from error


def cap(text: str) -> None:
    """Bound size and nesting. Raises CedarPolicyError."""
    if (size := len(text.encode())) > MAX_BYTES:
        raise CedarPolicyError(f"{size} bytes, want at most {MAX_BYTES}; split the policy")
    depth = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if depth > MAX_NESTING:
            raise CedarPolicyError(
                f"brackets nest deeper than {MAX_NESTING}; flatten the expression"
            )


_ONCE = """
schema, rules = texts
errors = cedarpy.validate_policies(rules, schema).errors
someone = dict(type="Service", id="someone")
context = dict(field="f", granted=True, minute=0, until=1, frozen=False)
scene = dict(type="Scene", id="some")
known = dict(purpose="p", basis="consent", fallback="withhold", services=[])
asked = dict(principal=someone, action=dict(type="Action", id="read"), resource=scene)
entities = [
    dict(uid=someone, attrs=dict(partner=True), parents=[]),
    dict(uid=scene, attrs=known, parents=[]),
]
if not errors:
    cedarpy.is_authorized(asked | dict(context=context), rules, entities)
"""

_CHECK = f"""
import os, resource, sys, threading
resource.setrlimit(resource.RLIMIT_AS, ({CHECK_MEMORY_BYTES}, {CHECK_MEMORY_BYTES}))
resource.setrlimit(resource.RLIMIT_CPU, ({CHECK_TIMEOUT_S}, {CHECK_TIMEOUT_S}))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
import cedarpy
wanted, *texts = sys.stdin.read().split("\\0")
found = ["not checked"]

def check():
    seen = dict(cedarpy=cedarpy, texts=texts)
    try:
        exec(wanted, seen)
        found[:] = [str(error) for error in seen["errors"]]
    except Exception as error:
        found[:] = [str(error)]

threading.stack_size({CHECK_STACK_BYTES})
checker = threading.Thread(target=check)
checker.start()
checker.join()
print(*found, sep="\\n", end="", flush=True)
os._exit(bool(found))
"""


def validate_elsewhere(wanted: str, *texts: str) -> None:
    """Run the check `wanted` over a policy's `texts` in a process that may crash without harm.

    It sets `errors`. The process has less time, memory and stack than the gate, no file writes and
    no environment. It prints the policy's errors on standard output and leaves at once: what the
    interpreter or a tracer says at its end, on standard error, is no error of the policy. Raises
    CedarPolicyError.
    """
    if any("\0" in text for text in texts):
        raise CedarPolicyError("the policy contains a NUL byte; remove it")
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter, our own text
            [sys.executable, "-I", "-c", _CHECK],
            input="\0".join((wanted, *texts)),
            capture_output=True,
            text=True,
            timeout=CHECK_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CedarPolicyError(
            f"not checked within {CHECK_TIMEOUT_S} s; simplify the policy"
        ) from error
    if done.returncode != 0:
        said = done.stdout.strip() or done.stderr.strip()
        errors = said[-2000:] or f"the checker ended with {done.returncode}"
        raise CedarPolicyError(f"the policy does not pass strict validation: {errors}")
