"""Section 1 of specs/receipt.md: a document says what the receipt says, to who has no network."""

import json
import socket
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from rdflib import Graph, Literal, Namespace, URIRef
from rdflib.namespace import DCTERMS, RDF
from rdflib.term import Node

from ledger.events import envelope
from ledger.events.acts import Limited
from ledger.events.envelope import (
    Act,
    EvidenceClass,
    Granted,
    Imported,
    Instruction,
    KeyEnrolled,
    MandateGiven,
    SceneAct,
    TriggerCleared,
    TriggerSet,
    Withdrawn,
)
from ledger.service import Ledger
from ledger.tlog.merkle import leaf_hash
from ledger.vault import commitments
from ledger.verify import receipt
from ledger.verify.receipt import ReceiptError
from portal.operations.company_folder import UnstatedError, configured, organisation
from portal.operations.settings import Partner, Settings
from steward.dpv.consent_receipt import NoConsentError, document, expressible
from steward.dpv.event import UNTIL_NEXT_DECISION, WHOLE
from steward.dpv.party import Party
from steward.dpv.term import CONTEXT
from tests.ledger.events import KEY_ACTS, NOON, ORIGIN, PUBLIC, WORDING
from tests.ledger.hands import BrowserKey, Passkey, give
from tests.ledger.worlds import opened, say
from tests.steward.receipts import ACTS, DPV, MADE, ME, OURS, broken, graph, made, scenes

SKOS, SPDX = Namespace(CONTEXT["skos"]), Namespace(CONTEXT["spdx"])
SCHEMA = Namespace(CONTEXT["schema"])
FULL = Granted("segmentation", ("age", "job"), None)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = opened(tmp_path)
    yield ledger
    ledger.close()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks the network fails the test."""

    def refuse(*asked: object, **_: object) -> None:
        raise AssertionError(f"the network was asked: {asked}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def only(data: Graph, subject: Node, relation: Node) -> Node:
    (found,) = data.objects(subject, relation)
    return found


def proof_of(ledger: Ledger, act: Act) -> str:
    return ledger.receipt(say(ledger, ME, act)[0].index, ME)


def instead(proof: str, said: object, **parts: Any) -> str:
    """The same file about another event. It proves nothing any more, and is well-formed."""
    kept = receipt.parse(proof)
    told = commitments.parse(envelope.encode(said))  # type: ignore[arg-type] # any event
    return str(replace(kept, extra=kept.extra | {"event": told} | parts))


def read_back(data: Graph) -> dict[str, Any]:
    """What somebody who has the graph alone reads of what was said."""
    (record,) = data.subjects(RDF.type, DPV.ConsentRecord)
    status, use = only(data, record, DPV.hasConsentStatus), only(data, record, DPV.hasProcess)
    items = data.objects(use, DPV.hasPersonalData)
    notice = only(data, record, DPV.hasNotice)
    checksum = only(data, only(data, notice, SPDX.checksum), SPDX.checksumValue)
    end = only(data, only(data, status, DPV.hasDuration), RDF.value)
    assert isinstance(end, Literal)
    return {
        "act": str(only(data, status, DCTERMS.type)),
        "state": only(data, status, RDF.type),
        "scene": str(only(data, use, DCTERMS.identifier)),
        "fields": {str(only(data, each, DCTERMS.identifier)) for each in items},
        "scope": [str(each) for each in data.objects(status, DPV.hasScope)],
        "end": end.toPython(),
        "at": only(data, status, DPV.isIndicatedAtTime).toPython(),  # type: ignore[attr-defined] # a literal
        "evidence": str(
            only(data, only(data, status, DPV.hasIndicationMethod), DCTERMS.identifier)
        ),
        "locale": str(only(data, notice, DCTERMS.language)),
        "digest": str(checksum),
        "source": [str(each) for each in data.objects(status, DCTERMS.source)],
        "condition": [
            (str(only(data, each, DCTERMS.identifier)), [*data.objects(each, RDF.value)])
            for each in data.objects(status, DCTERMS.relation)
        ],
    }


def said_by(act: SceneAct) -> dict[str, Any]:
    """The same, from the act itself."""
    scene = scenes()[act.scene]
    limits = isinstance(act, Limited)
    gives = isinstance(act, Granted | Imported) or (isinstance(act, Limited) and act.until)
    until = getattr(act, "until", None)
    longest = NOON + scene.longest
    limit = min(until, longest) if until else longest
    states = {"granted": DPV.ConsentGiven, "imported": DPV.ConsentGiven}
    states |= {"withdrawn": DPV.ConsentWithdrawn, "limited": DPV.ConsentGiven}
    tag = act.__struct_config__.tag
    trigger = f"{act.template} {act.signal}" if isinstance(act, TriggerSet | TriggerCleared) else ""
    figure = [Literal(act.threshold)] if isinstance(act, TriggerSet) else []
    return {
        "act": f"urn:sovereign:act:{tag}",
        "state": states.get(str(tag), DPV.ConsentUnknown),
        "scene": act.scene,
        "fields": {*(getattr(act, "fields", None) or scene.fields)},
        "scope": [WHOLE] if isinstance(act, Withdrawn) and act.fields is None else [],
        "end": limit if gives else UNTIL_NEXT_DECISION,
        "at": NOON,
        "evidence": "D" if limits else "C",
        "locale": WORDING.locale,
        "digest": WORDING.digest.hex(),
        "source": [act.source] if isinstance(act, Imported) else [],
        "condition": [(trigger, figure)] if trigger else [],
    }


def test_the_acts_tried_are_all_that_there_are() -> None:
    assert {type(act) for act in ACTS.values()} == {*get_args(SceneAct)}


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ACTS)
def test_a_document_says_exactly_what_the_act_says(ledger: Ledger, name: str) -> None:
    act = ACTS[name]
    assert isinstance(act, SceneAct)
    assert read_back(graph(made(proof_of(ledger, act)))) == said_by(act)


KINDS = {
    "A": "ExplicitlyExpressedConsent",
    "B": "ExplicitlyExpressedConsent",
    "C": "ExpressedConsent",
    "D": "Consent",
}


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", KINDS)
def test_every_evidence_class_is_expressed(ledger: Ledger, name: str) -> None:
    hands: dict[str, Passkey | BrowserKey] = {"A": Passkey(), "B": BrowserKey()}
    hand = hands.get(name)
    if hand is not None:
        give(ledger, KeyEnrolled(hand.key), subject=ME)
        index = give(ledger, FULL, hand, subject=ME).index
    else:
        draft = ledger.draft(ME, FULL, at=NOON, wording=WORDING, evidence=EvidenceClass(name))
        index = ledger.record([draft])[0].index
    data = graph(made(ledger.receipt(index, ME)))
    (status,) = data.objects(None, DPV.hasConsentStatus)
    method = only(data, status, DPV.hasIndicationMethod)
    assert method == URIRef(f"urn:sovereign:evidence:{name}")
    assert only(data, status, DPV.hasLegalBasis) == DPV[KINDS[name]]
    assert broken(data) == set()


@pytest.mark.usefixtures("offline")
def test_who_signs_under_a_mandate_is_named_by_the_mandate(ledger: Ledger) -> None:
    owner, delegate = Passkey(), BrowserKey()
    give(ledger, KeyEnrolled(owner.key), subject=ME)
    mandate = MandateGiven(delegate.key, ("segmentation",), NOON + timedelta(days=9))
    given = envelope.digest(give(ledger, mandate, owner, subject=ME).event)
    index = give(ledger, FULL, delegate, subject=ME, mandate=given).index
    data = graph(made(ledger.receipt(index, ME)))
    (who,) = data.objects(None, DPV.isIndicatedBy)
    assert who == URIRef(f"urn:sovereign:mandate:sha256:{given.hex()}")
    assert only(data, who, RDF.type) == DPV.Representative
    (customer,) = data.objects(None, DPV.hasDataSubject)
    assert only(data, who, DPV.isRepresentativeFor) == customer
    assert broken(data) == set()


def test_a_document_names_the_proof_and_the_leaf_it_stands_on(ledger: Ledger) -> None:
    proof = proof_of(ledger, FULL)
    data, kept = graph(made(proof)), receipt.parse(proof)
    (told,) = data.subjects(RDF.type, DPV.ConsentReceipt)
    source = only(data, told, DCTERMS.source)
    checksum = only(data, only(data, source, SPDX.checksum), SPDX.checksumValue)
    assert str(checksum) == sha256(proof.encode()).hexdigest()
    assert only(data, source, SCHEMA.position) == Literal(kept.index)
    log = only(data, source, DCTERMS.isPartOf)
    assert str(only(data, log, DCTERMS.identifier)) == ORIGIN
    (record,) = data.objects(told, DPV.hasRecordOfActivity)
    assert str(record).endswith(leaf_hash(kept.entry()).hex())


def test_a_document_does_not_hold_the_customers_number_and_no_two_name_one_alike(
    ledger: Ledger,
) -> None:
    subject = "customer-with-a-telling-number"
    said = say(ledger, subject, FULL, Withdrawn("segmentation"))
    found = [json.dumps(made(ledger.receipt(each.index, subject))) for each in said]
    known = b64encode(subject.encode()).decode()
    assert [each for each in found if subject in each or known in each] == []
    names = [{*graph(json.loads(each)).objects(None, DPV.hasDataSubject)} for each in found]
    assert names[0] & names[1] == set()


def test_the_same_receipt_contracts_settings_and_time_make_the_same_document(
    ledger: Ledger,
) -> None:
    proof = proof_of(ledger, FULL)
    assert json.dumps(made(proof)) == json.dumps(made(proof))


def test_the_contract_is_named_by_version_and_digest(ledger: Ledger) -> None:
    data = graph(made(proof_of(ledger, FULL)))
    (use,) = data.objects(None, DPV.hasProcess)
    contract, scene = only(data, use, DCTERMS.source), scenes()["segmentation"]
    assert contract == URIRef(f"urn:sovereign:contract:sha256:{scene.digest}")
    assert str(only(data, contract, DCTERMS.hasVersion)) == scene.version


@pytest.mark.parametrize("days", [30, None])
def test_how_long_data_is_kept_is_what_the_contract_says_or_said_to_be_open(
    ledger: Ledger, days: int | None
) -> None:
    kept = timedelta(days=days) if days else None
    scene = replace(scenes()["segmentation"], retention=kept)
    data = graph(document(proof_of(ledger, FULL), {scene.id: scene}, OURS, MADE))
    (storage,) = data.subjects(RDF.type, DPV.StorageDuration)
    length = only(data, storage, DPV.hasDuration)
    wanted = (DPV.TemporalDuration, ["P30D"]) if days else (DPV.IndeterminateDuration, [])
    assert only(data, length, RDF.type) == wanted[0]
    assert [str(each) for each in data.objects(length, RDF.value)] == wanted[1]
    assert broken(data) == set()


def test_an_item_that_the_contract_no_longer_has_is_named_all_the_same(ledger: Ledger) -> None:
    data = graph(made(proof_of(ledger, Granted("segmentation", ("shoe_size",), None))))
    (item,) = data.objects(None, DPV.hasPersonalData)
    assert str(only(data, item, DCTERMS.identifier)) == "shoe_size"
    assert only(data, item, SKOS.broader) == DPV.PersonalData
    assert broken(data) == set()


@pytest.mark.parametrize("name", [s.id for s in scenes().values() if not s.locked])
def test_recipients_are_the_company_for_its_own_services_and_every_partner(
    ledger: Ledger, name: str
) -> None:
    scene = scenes()[name]
    data = graph(made(proof_of(ledger, Withdrawn(name))))
    (use,) = data.objects(None, DPV.hasProcess)
    outside = {f"urn:sovereign:service:{each.id}" for each in scene.services if each.partner}
    inside = {OURS.controller.id} if len(outside) < len(scene.services) else set()
    assert {str(each) for each in data.objects(use, DPV.hasRecipient)} == outside | inside
    parties = {str(each) for each in data.objects(None, DPV.hasEntity)}
    assert parties == outside | {OURS.controller.id}
    operations = {*data.objects(use, DPV.hasProcessing)}
    assert operations == ({DPV.Use, DPV.Share} if outside else {DPV.Use})


def test_a_partner_without_facts_is_reached_care_of_the_company(ledger: Ledger) -> None:
    act = Granted("third-party-sharing", ("name",), None)
    proof = proof_of(ledger, act)
    partners = [each for each in scenes()[act.scene].services if each.partner]
    assert partners
    plain = {str(each) for each in graph(made(proof)).objects(None, SCHEMA.streetAddress)}
    care_of = f"c/o {OURS.controller.name}, {OURS.controller.address}"
    assert plain == {OURS.controller.address, care_of}
    known = Party("https://partner.example", "Partner Ltd", "2 Side Street", "p@partner.example")
    ours = replace(OURS, partners={each.id: known for each in partners})
    data = graph(made(proof, ours))
    (use,) = data.objects(None, DPV.hasProcess)
    assert URIRef(known.id) in {*data.objects(use, DPV.hasRecipient)}
    assert str(only(data, URIRef(known.id), DPV.hasName)) == "Partner Ltd"
    assert broken(data) == set()


def about(act: Act) -> Callable[[str], str]:
    said = Instruction(
        ORIGIN, ME, 1, envelope.FIRST, bytes(16), NOON, WORDING, EvidenceClass.SESSION, act
    )
    return lambda proof: instead(proof, said)


def public(proof: str) -> str:
    kept = receipt.parse(proof)
    told = commitments.parse(envelope.encode(PUBLIC[0]))
    return str(replace(kept, extra={"event": told}))


def other_event(proof: str) -> str:
    kept = receipt.parse(proof)
    return str(replace(kept, extra=kept.extra | {"event": {"type": "instruction"}}))


NONE: dict[str, tuple[type[Exception], Callable[[str], str]]] = {
    **{f"an act on keys: {type(act).__name__}": (NoConsentError, about(act)) for act in KEY_ACTS},
    "a scene that rests on the contract": (
        NoConsentError,
        about(Granted("contract-service", ("name",), None)),
    ),
    "a scene that no contract describes": (
        NoConsentError,
        about(Granted("astrology", ("age",), None)),
    ),
    "an act of the company": (NoConsentError, public),
    "no event of the profile": (ReceiptError, other_event),
    "cut": (ReceiptError, lambda proof: proof[:-9]),
    "empty": (ReceiptError, lambda _: ""),
    "a checkpoint of nothing": (
        ReceiptError,
        lambda proof: proof.replace(f"\n\n{ORIGIN}\n1\n", f"\n\n{ORIGIN}\n-1\n"),
    ),
}


@pytest.mark.parametrize("why", NONE)
def test_what_is_no_decision_on_a_scene_has_no_document(ledger: Ledger, why: str) -> None:
    error, change = NONE[why]
    proof = proof_of(ledger, FULL)
    assert change(proof) != proof
    with pytest.raises(error):
        made(change(proof))


def test_what_has_no_document_is_known_before(ledger: Ledger) -> None:
    (said,) = say(ledger, ME, FULL)
    assert expressible(said.event, scenes())
    assert not expressible(PUBLIC[0], scenes())
    assert isinstance(said.event, Instruction)
    for act in KEY_ACTS:
        assert not expressible(msgspec.structs.replace(said.event, act=act), scenes())


FACTS = {
    "controller_name": "Bank",
    "controller_id": "https://bank.example",
    "controller_address": "1 Main Street",
    "controller_email": "privacy@bank.example",
    "jurisdiction": "IE",
    "storage_location": "IE",
}


@pytest.mark.parametrize("fact", FACTS)
def test_without_a_fact_of_the_company_there_is_no_document(fact: str) -> None:
    assert organisation(Settings(**FACTS)).controller.id == "https://bank.example"  # type: ignore[arg-type] # texts
    with pytest.raises(UnstatedError, match=f"found no {fact}:"):
        organisation(Settings(**{**FACTS, fact: ""}))  # type: ignore[arg-type] # the same


def test_the_demonstration_says_that_it_is_one_and_settings_come_first() -> None:
    shown, _ = configured(Settings(demo=True))
    assert "does not exist" in organisation(shown).controller.name
    asked = Settings(demo=True, controller_name="Bank", login_origin="", port=9)
    ours = organisation(configured(asked)[0])
    assert ours.controller.name == "Bank"
    assert ours.centre == "http://localhost:9/customer"


def test_partners_come_from_the_settings() -> None:
    one = Partner(id="https://p.example", name="P", address="2 Side Street", email="p@p.example")
    asked, _ = configured(Settings(demo=True, partners={"partner-network": one}))
    ours = organisation(asked)
    assert ours.partners["partner-network"].name == "P"


PLACES = {"a word": "Europe", "small letters": "ie", "an address": "https://w3id.org/dpv/loc#EU"}


@pytest.mark.parametrize("why", PLACES)
def test_a_jurisdiction_is_a_code(why: str) -> None:
    with pytest.raises(ValueError, match="jurisdiction"):
        Settings(jurisdiction=PLACES[why])


@pytest.mark.parametrize(("place", "named"), [("EU", 4), ("EEA", 4), ("CN", 0)])
def test_rights_are_named_by_articles_of_the_law_that_applies(
    ledger: Ledger, place: str, named: int
) -> None:
    data = graph(made(proof_of(ledger, FULL), replace(OURS, jurisdiction=place)))
    rights = [*data.objects(None, DPV.hasRight)]
    types = [str(t) for each in rights for t in data.objects(each, RDF.type)]
    assert len(rights) == 4
    assert len([each for each in types if each.startswith(CONTEXT["eu-gdpr"])]) == named
    assert broken(data) == set()


PD = Namespace("https://w3id.org/dpv/pd#")
CATEGORIES = {
    "the contract's own": ("Age", {"age": "AgeRange"}, PD.Age),
    "the present one, where the contract named none": (None, {"age": "AgeRange"}, PD.AgeRange),
    "unknown, where neither does": (None, {}, DPV.PersonalData),
}


@pytest.mark.parametrize("why", CATEGORIES)
def test_an_item_has_the_category_that_the_contracts_name(why: str, ledger: Ledger) -> None:
    own, present, expected = CATEGORIES[why]
    bank = scenes()["segmentation"]
    age = replace(bank.fields["age"], item=replace(bank.fields["age"].item, category=own))
    scene = replace(bank, fields={**bank.fields, "age": age})
    proof = proof_of(ledger, Granted("segmentation", ("age",), None))
    data = graph(document(proof, {scene.id: scene}, OURS, MADE, present))
    (item,) = data.objects(None, DPV.hasPersonalData)
    assert only(data, item, SKOS.broader) == expected
    assert broken(data) == set()
