"""The features of the product, in one place: what each is, and how far it is.

    @feature("M3")
    def test_granting_and_withdrawing_take_the_same_single_post(…): …

`python -m tests.features --write` makes docs/features.md of the list and the tests.
"""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Test = TypeVar("Test", bound=Callable[..., Any])

FOLDER = Path(__file__).parent
DOCUMENT = FOLDER.parents[1] / "docs" / "features.md"

WORKS = "works"
NOT_BEGUN = "not begun"
PARTIAL = "partial: "


@dataclass(frozen=True, slots=True)
class Feature:
    """`state`: works, not begun, or partial and one sentence that says what is missing."""

    id: str
    name: str
    description: str
    state: str = WORKS


FEATURES = (
    Feature(
        "M1",
        "Customer Sovereignty Agreement",
        "What a customer decides is what the gate executes: each answer to a service names the"
        " instruction it rests on.",
    ),
    Feature(
        "M2",
        "Twelve disclosed scenes",
        "The customer sees every use of their data as one of twelve scenes, in three languages.",
    ),
    Feature(
        "M3",
        "One switch per scene",
        "Allowing and withdrawing a scene cost the same single step, and the next read obeys.",
    ),
    Feature(
        "M4",
        "Data sovereignty centre",
        "Signing in leads to one page with all scenes, from which the map, the history, the reads"
        " and the way out are one step away.",
    ),
    Feature(
        "M5",
        "Data-flow map",
        "For each item the customer sees the system that keeps it and the scenes that use it, and"
        " whether it flows now.",
    ),
    Feature(
        "M6",
        "A switch per item",
        "Inside a scene each item is allowed or withdrawn alone; the others stay as they are.",
    ),
    Feature(
        "M7",
        "Conditional triggers",
        "The customer sets a condition, such as a model's accuracy; a signed report below it"
        " freezes the model's reads without anybody acting.",
    ),
    Feature(
        "M8",
        "Verifiable instructions",
        "Each instruction has a receipt that verifies offline with public keys; one changed bit is"
        " found, and an audit shows that the published log only grew.",
    ),
    Feature(
        "M9",
        "Two views under one customer id",
        "A service is answered personal values where they are allowed and marked synthetic values"
        " elsewhere, from a release that states its (ε, δ).",
        PARTIAL
        + "of a release of the bundled bank alone 90.6 % of the synthetic segments lie within"
        " ±3.2 %, of the served tables, completed to the statistics, 96.9 % (`python -m benchmarks"
        " synthetic_quality served_statistics`).",
    ),
    Feature(
        "M10",
        "Business logic apart from authorisation",
        "A withdrawal changes how fields are marked, never the schema, and touches no other scene.",
    ),
    Feature(
        "M11",
        "Flow after a withdrawal",
        "A withdrawal opens a case and sends those responsible a notice with the fallback, the"
        " measured loss and a deadline.",
    ),
    Feature(
        "M12",
        "Health of agreements",
        "The desk shows coverage, freshness and model dependence of one agreement and of all, and"
        " gives advice beyond a threshold.",
    ),
    Feature(
        "M13",
        "Consequence before the switch",
        "Consequence and alternative stand before each switch, in every language.",
    ),
    Feature(
        "M14",
        "Veto over AI training",
        "Who withdraws the training scene is left out of training reads, and the manifests of"
        " earlier training sets name the models that the veto reaches.",
    ),
    Feature(
        "M15",
        "Portability",
        "The customer downloads agreement, history, receipts, reads, their row and messages in one"
        " archive that verifies without the company.",
        PARTIAL + "of messages it holds those that services propose here, no mails or call"
        " transcripts, and a customer who decided nothing yet never sees the link to the archive.",
    ),
    Feature(
        "M16",
        "Everything leaves a trace",
        "Each answer is an entry of a read log that the customer sees with its reason, and"
        " `sovereign replay` verifies the log and derives it again.",
    ),
    Feature(
        "M17",
        "Explained decisions",
        "A service attaches inputs, reasons, model and prompt version to a decision; the customer"
        " reads them next to the read they rest on.",
    ),
    Feature(
        "M18",
        "Optimistic locking",
        "Of two people who edit one scene of an agreement the later one is shown the conflict and"
        " decides again; acts on different scenes do not conflict.",
    ),
    Feature(
        "M19",
        "A data contract per scene",
        "Each scene is a public ODCS contract with fields, purpose and service levels, which the"
        " product checks against the source.",
    ),
    Feature(
        "M20",
        "Contract health",
        "Three misses in a row raise an alert that proposes a substitute; the substitute passes"
        " the gate like any other field.",
    ),
    Feature(
        "M21",
        "Stability of permissions",
        "How steady a customer's choices are is a figure that a service reads under a grant of its"
        " own.",
    ),
    Feature(
        "M22",
        "Data-source map",
        "The desk lists every item with its system, producer, update mechanism and legal basis.",
    ),
    Feature(
        "M23",
        "Lineage and conflict rules",
        "The contract says from which items an item is derived and which system wins where systems"
        " disagree.",
        PARTIAL
        + "the rules are declared, checked and shown; only the reference CRM applies them, to"
        " telephone numbers.",
    ),
    Feature(
        "M24",
        "Masking of personal data in text",
        "Names leave masked in notices, and the gate masks free text before it answers.",
    ),
    Feature(
        "M25",
        "Human review",
        "Refunds, terminations, legal threats and free offers wait until a person approves, edits"
        " or refuses them.",
    ),
    Feature(
        "M26",
        "Webhook intake of interactions",
        "Interactions arrive at a webhook, are acknowledged at once and worked on in the"
        " background.",
    ),
    Feature(
        "M27",
        "Reference CRM services",
        "Lead scoring and support escalation live behind the gate.",
    ),
    Feature(
        "M28",
        "QR hand-off",
        "A phone that scans a code is signed in once and finishes there.",
    ),
    Feature(
        "M29",
        "Re-consent",
        "A permission that ended is not read, and is given again in the same single step; the one"
        " reminder is neutral and logged.",
        PARTIAL + "the served product sends no reminder; only the library does.",
    ),
    Feature(
        "M30",
        "Federated option",
        "Models are trained where the data lives.",
        PARTIAL
        + "sites fit one model from noisy counts by the programs of examples/federated, which"
        " debit no privacy budget of the product.",
    ),
    Feature(
        "M31",
        "Import of legacy consents",
        "Consents of an old system are imported with their evidence class and source, all or none;"
        " silence is no consent.",
    ),
    Feature(
        "M32",
        "Any company",
        "Scenes, fields, languages, services, roles and names are data of the company that runs"
        " the product.",
    ),
    Feature(
        "M33",
        "Legal bases other than consent",
        "What rests on a contract or a legal obligation is shown and locked; legitimate interest"
        " lasts until the customer objects.",
    ),
    Feature(
        "M34",
        "A population for statistics",
        "Tables are completed to noisy counts of everybody who has not objected, under a basis and"
        " with a switch of their own.",
    ),
    Feature(
        "M35",
        "AI agents behind the gate",
        "A Model Context Protocol server gives agents gated, masked and marked data; each read"
        " names the agent and the person on whose behalf it asked.",
    ),
    Feature(
        "M36",
        "A feed of change",
        "A service learns what it must forget, in order, from where it left off.",
    ),
    Feature(
        "M37",
        "Who has what",
        "One page names every recipient, what it holds and when it last read, and ends it with one"
        " tap.",
    ),
    Feature(
        "M38",
        "Guarantees against the company",
        "A table says for each act of the company itself who catches it, and with which files.",
        PARTIAL
        + "who merges, splits or renames ids and records nothing of it is caught by nobody.",
    ),
)


def feature(*ids: str) -> Callable[[Test], Test]:
    """Mark a test as the proof of features."""

    def marked(test: Test) -> Test:
        test.__dict__["features"] = ids
        return test

    return marked


def tests() -> dict[str, list[tuple[str, str]]]:
    """File and name of each feature's tests, by feature, in the order of the files."""
    by_feature: dict[str, list[tuple[str, str]]] = {}
    for file, name, ids in _marked():
        for each in ids:
            by_feature.setdefault(each, []).append((file, name))
    return by_feature


def document() -> str:
    """docs/features.md."""
    proofs = tests()
    rows = [_row(each, proofs.get(each.id, [])) for each in FEATURES]
    return HEAD + "\n".join(rows) + "\n"


HEAD = """# Features

Made by `python -m tests.features --write`; run it to renew. Each test starts the product as a user
does (`sovereign serve` over a small data directory, by the real clock) and proves the feature by
what a user sees: `pytest tests/features`.

| Feature | What it is | State | Tests |
|---|---|---|---|
"""


def _marked() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for path in sorted(FOLDER.glob("test_*.py")):
        module = importlib.import_module(f"{__package__}.{path.stem}")
        for name, value in vars(module).items():
            if name.startswith("test_") and (ids := getattr(value, "features", ())):
                yield path.name, name, ids


def _row(each: Feature, proofs: list[tuple[str, str]]) -> str:
    links = [f"[{_sentence(name)}](../tests/features/{file})" for file, name in proofs]
    cells = (f"**{each.id}** {each.name}", each.description, each.state, "; ".join(links) or "–")
    return f"| {' | '.join(cells)} |"


def _sentence(name: str) -> str:
    return name.removeprefix("test_").replace("_", " ")
