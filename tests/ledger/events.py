"""Instructions and public events for tests, one of each kind and at random."""

from datetime import UTC, datetime, timedelta
from typing import get_args

from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.events.acts import Limited, Merged, Renamed, Split
from ledger.events.customer_keys import FORMS
from ledger.events.envelope import (
    FIRST,
    MAX_INTEGER,
    Act,
    Algorithm,
    BudgetReserved,
    CustomerKey,
    DecisionPolicyPublished,
    EntryErased,
    EvidenceClass,
    Granted,
    Imported,
    Instruction,
    KeyEnrolled,
    KeyKind,
    KeyRecovered,
    KeyRemoved,
    KeyReplaced,
    KeyRotated,
    MandateEnded,
    MandateGiven,
    ManifestPublished,
    PolicyPublished,
    PublicEvent,
    ReadLogAnchored,
    ReadLogClosed,
    ReadLogOpened,
    ReadLogRemoved,
    ReadsKept,
    RecoveryCancelled,
    RecoveryRequested,
    ScenePublished,
    ServiceRegistered,
    SignalReported,
    SourceDeleted,
    SubjectErased,
    SyntheticReleased,
    TriggerCleared,
    TriggerSet,
    Withdrawn,
    Wording,
)

ORIGIN = "test.example/consent"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
WORDING = Wording("en", bytes(32))
GRANTED = Granted("segmentation", ("age", "job"), None)
ACTS: tuple[Act, ...] = (
    GRANTED,
    Withdrawn("segmentation"),
    Withdrawn("segmentation", ("age",)),
    TriggerSet("segmentation", "below", "accuracy", 9200),
    TriggerCleared("segmentation", "below", "accuracy"),
    Imported("segmentation", ("age",), NOON, "legacy"),
)
RP, PAGE = "consent.test.example", "https://consent.test.example"
PASSKEY = CustomerKey(
    KeyKind.PASSKEY,
    Algorithm.ES256,
    bytes.fromhex(FORMS["ES256"][0]) + bytes(range(64)),
    RP,
    (PAGE,),
    backup_eligible=True,
    backed_up=False,
    attestation="none",
)
BROWSER_KEY = CustomerKey(
    KeyKind.BROWSER,
    Algorithm.EDDSA,
    bytes.fromhex(FORMS["EdDSA"][0]) + bytes(range(32)),
    RP,
    (PAGE,),
    backup_eligible=False,
    backed_up=False,
    attestation="none",
)
KEY_ACTS: tuple[Act, ...] = (
    KeyEnrolled(PASSKEY),
    KeyReplaced(PASSKEY.id, BROWSER_KEY),
    KeyRemoved(PASSKEY.id),
    RecoveryRequested(BROWSER_KEY, "identity card in the branch", NOON + timedelta(hours=72)),
    RecoveryCancelled(bytes(32)),
    KeyRecovered(bytes(32)),
    MandateGiven(BROWSER_KEY, ("segmentation",), NOON + timedelta(days=30)),
    MandateEnded(bytes(32)),
)
PUBLIC: tuple[PublicEvent, ...] = (
    ScenePublished("segmentation", "1.0.0", "9f", NOON),
    PolicyPublished("9f", NOON),
    DecisionPolicyPublished("9f", NOON),
    ServiceRegistered("analytics", "key", NOON),
    KeyRotated("test.example/consent", ("a", "b"), NOON),
    SignalReported("analytics", "accuracy", 9199, NOON),
    BudgetReserved("segmentation", {"rho": "1/64"}, NOON),
    SyntheticReleased("r1", "segmentation", {"a": [1, None, True, {"b": "é"}]}, NOON),
    ReadLogOpened("test.example/reads", "key", NOON),
    ReadLogAnchored("test.example/reads", 3, "root", NOON),
    ReadLogClosed("test.example/reads", 3, "root", NOON),
    ReadsKept(30, NOON),
    ReadLogRemoved("test.example/reads", NOON + timedelta(days=30)),
    SubjectErased(NOON),
    EntryErased(7, NOON),
    ManifestPublished("scoring-2", "9f", 12, NOON),
)
# Those that a log may have again and again; a read log is opened, closed and removed once.
REPEATABLE = tuple(
    each
    for each in PUBLIC
    if not isinstance(each, ReadLogOpened | ReadLogAnchored | ReadLogClosed | ReadLogRemoved)
)
assert {type(each) for each in PUBLIC} == {*get_args(PublicEvent)}

INSTRUCTION = Instruction(
    ORIGIN, "c1", 1, FIRST, bytes(16), NOON, WORDING, EvidenceClass.SESSION, GRANTED
)
COMPANY_ACTS: tuple[Act, ...] = (
    Limited("segmentation", ("age",), NOON),
    SourceDeleted(),
    SourceDeleted("c2"),
    Merged("c2", ("segmentation",)),
    Split("c2"),
    Renamed("c2"),
)
OF_THE_COMPANY = tuple(
    replace(INSTRUCTION, act=each, evidence=EvidenceClass.IMPORTED) for each in COMPANY_ACTS
)
assert {type(each) for each in (*ACTS, *KEY_ACTS, *COMPANY_ACTS)} == {*get_args(Act)}

customer_keys = st.sampled_from([PASSKEY, BROWSER_KEY])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
integers = st.integers(-MAX_INTEGER, MAX_INTEGER)
times = st.datetimes(timezones=st.just(UTC)).map(lambda at: at.replace(microsecond=0))
ends = times.map(lambda at: at.replace(second=0))
digests = st.binary(min_size=32, max_size=32)
fields = st.lists(texts, unique=True, min_size=1, max_size=4).map(tuple)
keys = st.text(st.characters(max_codepoint=127), max_size=6)
trees = st.recursive(
    st.none() | st.booleans() | integers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
acts = st.one_of(
    st.builds(Granted, texts, fields, st.none() | ends),
    st.builds(Withdrawn, texts, st.none() | fields),
    st.builds(TriggerSet, texts, texts, texts, integers),
    st.builds(TriggerCleared, texts, texts, texts),
    st.builds(Imported, texts, fields, st.none() | ends, texts),
)
key_acts = st.one_of(
    st.builds(KeyEnrolled, customer_keys),
    st.builds(KeyReplaced, digests, customer_keys),
    st.builds(KeyRemoved, digests),
    st.builds(RecoveryRequested, customer_keys, texts, times),
    st.builds(RecoveryCancelled, digests),
    st.builds(KeyRecovered, digests),
    st.builds(MandateGiven, customer_keys, fields, ends),
    st.builds(MandateEnded, digests),
)
said = st.builds(
    Instruction,
    texts,
    texts,
    integers,
    digests,
    st.binary(min_size=16, max_size=16),
    times,
    st.builds(Wording, texts, digests),
    st.sampled_from(EvidenceClass),
    acts | key_acts,
    st.none() | digests,
    st.booleans(),
)
company_acts = st.one_of(
    st.builds(Limited, texts, fields, st.none() | ends),
    st.builds(SourceDeleted, st.none() | texts),
    st.builds(Merged, texts, st.just(()) | fields),
    st.builds(Split, texts),
    st.builds(Renamed, texts),
)
instructions = said | st.builds(
    lambda each, act: replace(each, act=act, evidence=EvidenceClass.IMPORTED), said, company_acts
)
publics = st.one_of(
    st.builds(ScenePublished, texts, texts, texts, times),
    st.builds(PolicyPublished, texts, times),
    st.builds(DecisionPolicyPublished, texts, times),
    st.builds(ServiceRegistered, texts, texts, times),
    st.builds(KeyRotated, texts, fields, times),
    st.builds(SignalReported, texts, texts, integers, times),
    st.builds(BudgetReserved, texts, st.dictionaries(keys, trees, max_size=4), times),
    st.builds(SyntheticReleased, texts, texts, st.dictionaries(keys, trees, max_size=4), times),
    st.builds(ReadLogOpened, texts, texts, times),
    st.builds(ReadLogAnchored, texts, integers, texts, times),
    st.builds(ReadLogClosed, texts, integers, texts, times),
    st.builds(ReadLogRemoved, texts, times),
    st.builds(ReadsKept, integers, times),
    st.builds(SubjectErased, times),
    st.builds(EntryErased, integers, times),
    st.builds(ManifestPublished, texts, texts, integers, times),
)
