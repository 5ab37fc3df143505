"""Checks of single files of a data directory, by the kind they are of (portal.data_directory.

inventory). A check returns what is wrong with a file, or None, and changes nothing.
"""

import json
import re
from collections.abc import Callable, Mapping
from hashlib import file_digest, sha256
from pathlib import Path

from gate.contracts.odcs import ContractError
from gate.contracts.source import load_source
from gate.policy import cedar, decisions
from gate.policy.cedar import CedarPolicyError
from gate.reads.sources import duckdb_file
from gate.state import snapshot
from ledger.storage import database
from ledger.storage.vault_store import VAULT
from ledger.tlog import signed_note
from ledger.vault import tombstones
from ledger.vault.tombstones import TombstoneError, TombstoneList
from portal.configuration.sources import SettingError
from portal.operations import company_folder, job_results
from portal.operations.job_results import JobResultsError
from portal.operations.wiring import SECRET_SIZE
from steward.contracts.archive import SCENE
from steward.notify import recipients, webhook
from steward.notify.recipients import RecipientError
from steward.notify.webhook import WebhookError
from steward.oversight import manifest
from steward.oversight.manifest import ManifestError

FileCheck = Callable[[Path], str | None]
_ARCHIVE = re.compile(r"\d{1,12}-([0-9a-f]{32})-[0-9a-f]{32}\.zip")
_SEALED = re.compile(r"[0-9a-f]{64}\.sealed")
_OVERHEAD = 28  # bytes: nonce and tag of AES-GCM
_EPOCH_SIZE = 8


def secret(path: Path) -> str | None:
    size = path.stat().st_size
    return None if size == SECRET_SIZE else f"it has {size} bytes, want {SECRET_SIZE}"


def whsec(path: Path) -> str | None:
    try:
        found = webhook.keys(path)
    except (WebhookError, UnicodeDecodeError):
        return "want whsec_… with 24 to 64 bytes of base64 on each line"
    return None if found else "it has no key"


def company(path: Path) -> str | None:
    try:
        company_folder.require_remembered(path)
    except SettingError as error:
        return str(error)
    return None


def json_object(path: Path) -> str | None:
    try:
        return None if isinstance(json.loads(path.read_bytes()), dict) else "want a JSON object"
    except (ValueError, RecursionError):
        return "it is not JSON"


def jobs(path: Path) -> str | None:
    try:
        job_results.load(path.parent.parent)
    except JobResultsError as error:
        return str(error)
    return None


def steward_toml(path: Path) -> str | None:
    try:
        recipients.load(path.parent)
    except RecipientError as error:
        return str(error)
    return None


def tombstone_list(path: Path) -> str | None:
    listed, keys = TombstoneList(path), path.parent / "keys"
    try:
        if database.of(path.parent).exists(VAULT):
            listed.tombstones(tombstones.read(keys))
        else:  # restored without keys: nobody is imported there
            listed.require_well_formed()
    except TombstoneError as error:
        return str(error)
    return None


def tombstone_key(path: Path) -> str | None:
    try:
        tombstones.read(path.parent)
    except TombstoneError as error:
        return str(error)
    return None


def opening(path: Path) -> str | None:
    try:
        origin, key = path.read_text("ascii").splitlines()
        same = signed_note.vkey_parts(key)[0] == origin
    except ValueError:
        same = False
    return None if same else "want two lines, a log's name and its verifier key"


def named_by_digest(path: Path) -> str | None:
    """A file whose name is the SHA-256 of its bytes."""
    with path.open("rb") as file:
        found = file_digest(file, "sha256").hexdigest()
    return None if path.stem == found else "its bytes are not those that its name is the digest of"


def contract(path: Path) -> str | None:
    """`contracts/<digest of the scene contract>/` with the scene contract and its source."""
    if path.name == SCENE:
        same = sha256(path.read_bytes()).hexdigest() == path.parent.name
        return None if same else "its bytes are not those that its folder is named after"
    try:
        load_source(path)
    except ContractError as error:
        return str(error)
    return None


def policy(path: Path) -> str | None:
    """`policies/<digest of all four files>/`. A damaged file is named together with its folder."""
    try:
        same = cedar.stored_digest(path.parent) == path.parent.name
    except CedarPolicyError as error:
        return str(error)
    return None if same else "the files of its folder are not those that the folder is named after"


def decision_policy(path: Path) -> str | None:
    """`policies/decisions/<digest>.json`: a policy of the company about its own resources."""
    try:
        same = decisions.stored_digest(path) == path.stem
    except CedarPolicyError as error:
        return str(error)
    return None if same else "it is another policy than its name says"


def active_decisions(path: Path) -> str | None:
    same = re.fullmatch(rb"([0-9a-f]{64}|none)\n", path.read_bytes())
    return None if same else "want the digest of a policy, or none, and a line end"


def training_manifest(path: Path) -> str | None:
    try:
        same = manifest.parse(path.read_bytes()).digest == path.stem
    except ManifestError as error:
        return str(error)
    return None if same else "it is another manifest than its name says"


def ready_archive(path: Path) -> str | None:
    if (parts := _ARCHIVE.fullmatch(path.name)) is None:
        return "its name is not that of an archive"
    with path.open("rb") as file:
        same = file_digest(file, "sha256").hexdigest()[:32] == parts[1]
    return None if same else "its bytes are not those that its name is the digest of"


def imported_archive(path: Path) -> str | None:
    """Only the form: the customer's own key opens it."""
    if not _SEALED.fullmatch(path.name):
        return "its name is not that of a sealed archive"
    return None if path.stat().st_size > _OVERHEAD else "it is too short for a sealed archive"


def consent_snapshot(path: Path) -> str | None:
    return None if snapshot.is_whole(path) else "its bytes are not those that its digest is of"


def epoch(path: Path) -> str | None:
    size = path.stat().st_size
    return None if size == _EPOCH_SIZE else f"it has {size} bytes, want {_EPOCH_SIZE}"


BY_PATTERN: Mapping[str, FileCheck] = {
    "keys/surrogate.key": secret,
    "keys/receipt-link.key": secret,
    "keys/archive.key": secret,
    "keys/webhook-*.whsec": whsec,
    "keys/demo-services.json": json_object,
    "steward.toml": steward_toml,
    "tombstones": tombstone_list,
    "keys/tombstone.key": tombstone_key,
    "reads/*/cohorts/*": named_by_digest,
    "reads/*/opening": opening,
    "contracts/*.odcs.yaml": contract,
    "policies/decisions/active": active_decisions,
    "policies/decisions/*.json": decision_policy,
    "policies/*": policy,
    "customers.duckdb": duckdb_file.damage,
    "state/consent.npz": consent_snapshot,
    "company.json": company,
    "state/jobs.json": jobs,
    "state/sets.json": json_object,
    "state/checked.json": json_object,
    "state/clock.json": json_object,
    "state/epoch": epoch,
    "fits/attempts.json": json_object,
    "fits/*.json": json_object,
    "manifests/*.json": training_manifest,
    "archives/ready/*": ready_archive,
    "archives/imported/*": imported_archive,
}
