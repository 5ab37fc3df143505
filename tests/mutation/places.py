"""What is mutated, and the tests that must notice it. They call it in their own process."""

from collections.abc import Mapping, Sequence

VERIFIERS = ("receipt", "evidence", "event_profile", "key_history")
SEARCHES = (
    "own_reads",
    "read_keys",
    "read_log_entry",
    "read_log_rules",
    "read_log_search",
    "announced_read_logs",
)
PLACES: Mapping[str, Sequence[str]] = {
    "the decision": ["gate/decision/decide.py"],
    "consent bits": ["gate/state/consent_bits.py"],
    "eligibility of a cohort": ["gate/decision/eligibility.py"],
    "the check of a read-log entry": ["gate/replay/check_entry.py"],
    "the verifiers": [f"ledger/verify/{each}.py" for each in (*VERIFIERS, *SEARCHES)],
}
# By file, the tests of tests/gate or tests/ledger, those first that take the least time.
_TESTS: Mapping[str, Sequence[str]] = {
    "gate/decision/decide.py": (
        "decide",
        "cohort",
        "interest",
        "differential",
        "wide_scene",
        "ruling",
        "surrogates",
        "versions",
    ),
    "gate/state/consent_bits.py": (
        "decide",
        "cohort",
        "interest",
        "wide_scene",
        "trigger",
        "differential",
    ),
    "gate/decision/eligibility.py": ("cohort", "cohorts", "wide_scene"),
    "gate/replay/check_entry.py": (
        "check_entry",
        "surrogates",
        "interest",
        "customer_sets",
        "statistics",
        "replay_few",
        "replay",
    ),
    "ledger/verify/receipt.py": ("receipt", "signed", "vectors", "mutations"),
    "ledger/verify/evidence.py": ("evidence", "vectors"),
    "ledger/verify/event_profile.py": ("profile", "event", "vectors"),
    "ledger/verify/key_history.py": ("rotate", "evidence", "receipt"),
    **{
        f"ledger/verify/{each}.py": ("read_log_entry", "own_reads", "read_log_rules")
        for each in SEARCHES
    },
}
TESTS: Mapping[str, Sequence[str]] = {
    file: [f"tests/{file.partition('/')[0]}/test_{each}.py" for each in names]
    for file, names in _TESTS.items()
}
