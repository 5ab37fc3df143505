"""Take a check away, and perform the act that it catches: `python -m tests.attacks.mutants`.

For each act of specs/guarantees.md the test that performs it is run with one check of the product
patched away. The test must fail: else nobody would notice if the check were lost.
"""

import argparse
import io
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytest

from ledger.statemap import edwards25519

PASSED, FAILED = 0, 1  # exit statuses of pytest
Check = Callable[..., Any]


@dataclass(frozen=True)
class Mutant:
    """`check`: module:name of what is replaced by `instead`; `act`: the row of the table."""

    act: int
    test: str
    check: str
    instead: Check

    def __str__(self) -> str:
        return f"act {self.act} without {self.check}"


def nothing(*_: object, **__: object) -> None:
    """A check that finds nothing wrong."""


def no_findings(*_: object, **__: object) -> list[str]:
    return []


def right(*_: object, **__: object) -> bool:
    return True


def wrong(*_: object, **__: object) -> bool:
    return False


def trusting(proof: Any, *_: object) -> bytes:
    """Takes whatever label the proof is about."""
    label: bytes = proof.in_map.leaf[0]
    return label


def unmasked(position: int | None, _pad: int) -> str:
    """A position that everybody can read."""
    return f"{position or 0:016x}"


HISTORIES = "tests/attacks/test_two_histories.py"
TRANSITIONS = (
    "tests/attacks/test_transitions.py::test_a_change_that_no_instruction_justifies_is_named"
)
INSTRUCTIONS = "tests/attacks/test_instructions.py"
PROOFS, REPLAY = "ledger.statemap.map_proof", "ledger.statemap.map_replay"
MUTANTS = (
    Mutant(
        1,
        f"{HISTORIES}::test_two_histories_under_one_label_are_one",
        f"{PROOFS}:require_newest",
        nothing,
    ),
    Mutant(
        2,
        f"{HISTORIES}::test_a_second_history_has_no_label_of_its_own",
        f"{PROOFS}:proven_label",
        trusting,
    ),
    Mutant(
        3,
        f"{HISTORIES}::test_another_key_of_the_labels_is_found_by_verify_and_by_the_audit",
        "ledger.statemap.map_auditor:_StateEntryCheck._wrong_key",
        nothing,
    ),
    Mutant(
        3,
        f"{HISTORIES}::test_another_key_of_the_labels_is_found_by_verify_and_by_the_audit",
        f"{PROOFS}:proven_label",
        trusting,
    ),
    Mutant(
        4,
        f"{HISTORIES}::test_a_map_that_is_no_longer_bound_is_found_by_verify_and_by_the_audit",
        "ledger.statemap.map_auditor:_StateEntryCheck._wrong_key",
        nothing,
    ),
    Mutant(
        5,
        "tests/ledger/test_vrf.py::test_s22_keys_of_small_order_are_refused_because_they_are_validated",
        "ledger.statemap.vrf:validated",
        edwards25519.decode,
    ),
    Mutant(6, TRANSITIONS, f"{REPLAY}:MapReplay._miscounted", no_findings),
    Mutant(
        6,
        f"{HISTORIES}::test_a_state_log_that_is_rolled_back_and_extended_is_found",
        "ledger.tlog.auditor:_Walk._split",
        nothing,
    ),
    Mutant(7, TRANSITIONS, f"{REPLAY}:MapReplay._miscounted", no_findings),
    Mutant(8, TRANSITIONS, f"{REPLAY}:MapReplay._restarted", no_findings),
    Mutant(
        11,
        "tests/ledger/test_labels.py::test_s23_a_state_of_another_customer_is_refused",
        f"{PROOFS}:_want",
        nothing,
    ),
    Mutant(
        12,
        f"{INSTRUCTIONS}::test_leaving_the_forgery_out_of_the_evidence_is_found",
        f"{PROOFS}:require_complete",
        nothing,
    ),
    Mutant(
        13,
        f"{INSTRUCTIONS}::test_no_forgery_by_database_and_all_company_keys_convinces",
        "ledger.verify.evidence:_replayed",
        nothing,
    ),
    Mutant(
        16,
        f"{INSTRUCTIONS}::test_a_replay_that_the_insider_inserts_convinces_nobody",
        "ledger.verify.evidence:_require_complete",
        nothing,
    ),
    Mutant(
        17,
        f"{INSTRUCTIONS}::test_what_was_signed_is_not_reworded",
        "ledger.events.instruction_signature:verify_alone",
        nothing,
    ),
    Mutant(
        18,
        "tests/ledger/test_ledger.py::test_e3_an_act_that_names_nothing_is_not_recorded",
        "ledger.events.envelope:_require_names",
        nothing,
    ),
    Mutant(
        19,
        "tests/ledger/test_audit.py::test_a_split_view_is_found_with_both_notes_as_evidence",
        "ledger.tlog.auditor:_Walk._split",
        nothing,
    ),
    Mutant(
        20,
        "tests/ledger/test_audit.py::test_a_split_view_is_found_with_both_notes_as_evidence",
        "ledger.tlog.auditor:_Walk._split",
        nothing,
    ),
    Mutant(
        21,
        "tests/ledger/test_cosigned.py::test_w17_a_second_view_of_the_state_log_finds_no_witness",
        "ledger.tlog.policy:LogPolicy.require_quorum",
        nothing,
    ),
    Mutant(
        22,
        "tests/ledger/test_audit.py::test_a_rollback_is_found_with_both_notes_as_evidence",
        "ledger.tlog.auditor:_contradiction",
        nothing,
    ),
    Mutant(
        23,
        "tests/ledger/test_start.py::test_l123_a_start_that_contradicts_the_past_is_refused",
        "ledger.integrity.start:require",
        nothing,
    ),
    Mutant(
        27,
        "tests/ledger/test_verifier.py::test_l24_without_the_check_a_key_of_small_order_signs_anything",
        "ledger.tlog.signed_note:has_small_order",
        wrong,
    ),
    Mutant(
        28,
        "tests/ledger/test_policy.py::test_l84_malformed_policies_are_refused",
        "ledger.tlog.policy:_require_new",
        nothing,
    ),
    Mutant(
        31,
        "tests/attacks/test_retired_keys.py::test_a_retired_key_signs_no_later_checkpoint",
        "ledger.tlog.policy:LogPolicy.may_sign",
        right,
    ),
    Mutant(
        34,
        "tests/attacks/test_read_log_links.py::test_no_member_of_an_entry_repeats_in_one_customers_entries",
        "gate.readlog.writer:masked",
        unmasked,
    ),
    Mutant(
        35,
        "tests/ledger/test_merges.py::test_e19_a_merge_after_which_more_is_allowed_is_named",
        "ledger.integrity.merges:_widens",
        wrong,
    ),
    Mutant(
        46,
        "tests/portal/test_retention.py::test_g143_a_removal_before_its_time_is_found",
        "ledger.verify.read_log_rules:ReadLogRules.removable",
        nothing,
    ),
    Mutant(
        47,
        "tests/portal/test_retention.py::test_g143_a_removal_needs_a_declaration_and_its_time",
        "ledger.verify.read_log_rules:ReadLogRules.removable",
        nothing,
    ),
    Mutant(
        55,
        "tests/attacks/test_times.py::test_i77_an_instruction_that_is_dated_back_is_refused",
        "ledger.verify.times.attested:Bounds.require",
        nothing,
    ),
    Mutant(
        57,
        "tests/ledger/test_evidence.py::test_i76_a_recovery_rests_on_a_wait_that_witnesses_saw",
        "ledger.verify.evidence:_require_waits",
        nothing,
    ),
    Mutant(
        58,
        "tests/attacks/test_times.py::test_i77_a_verdict_under_an_older_checkpoint_than_is_known_is_refused",
        "ledger.verify.times.attested:require_at_least",
        nothing,
    ),
    Mutant(
        59,
        "tests/attacks/test_times.py::test_w27_one_witness_alone_moves_no_bound",
        "ledger.tlog.policy:LogPolicy.is_quorum",
        right,
    ),
    Mutant(
        71,
        "tests/ledger/test_sampling.py::test_q13_an_instruction_must_not_contradict_what_was_given",
        "ledger.verify.sampling.grounds:_denied",
        nothing,
    ),
)


def status(test: str, mutant: Mutant | None = None) -> int:
    """The exit status of pytest for a test, in a process of its own, without the mutant's check."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 3
    try:
        if mutant is not None:
            _patch(mutant)
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            options = ["-q", "-x", "-p", "no:cacheprovider", "--without-servers"]
            code = int(pytest.main([test, *options]))
    finally:
        os._exit(code)


def _patch(mutant: Mutant) -> None:
    module, _, name = mutant.check.partition(":")
    holder: Any = import_module(module)
    *outer, last = name.split(".")
    for each in outer:
        holder = getattr(holder, each)
    getattr(holder, last)  # raises if there is no such check any more
    setattr(holder, last, mutant.instead)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("numbers", type=int, nargs="*", help="of the mutants; default: all")
    options = parser.parse_args()
    survived = 0
    for number in options.numbers or range(len(MUTANTS)):
        mutant = MUTANTS[number]
        found = status(mutant.test, mutant)
        survived += found != FAILED
        sys.stdout.write(f"{'noticed' if found == FAILED else f'UNNOTICED ({found})'}: {mutant}\n")
        sys.stdout.flush()
    sys.exit(survived)


if __name__ == "__main__":
    main()
