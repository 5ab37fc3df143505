"""Files of an archive as one ZIP that is always the same bytes, with an index of digests.

    index.jsonld
        {"@context": {"dcat": "http://www.w3.org/ns/dcat#", …}, "@type": "dcat:Dataset",
         "dct:conformsTo": "urn:sovereign:archive:1", "dct:created": "2026-11-21T12:00:00Z",
         "dct:subject": "c00007", "dct:source": "bank.example/consent",
         "dcat:distribution": [{"@id": "agreement.json", "@type": "dcat:Distribution",
           "dcat:byteSize": 812, "dcat:mediaType": "application/json",
           "dct:description": "What is in force",
           "spdx:checksum": {"spdx:algorithm": "sha256", "spdx:checksumValue": "5b0c…"}}, …]}

The index comes first, then the files in the order of their names; all are stored as they are, with
one time, so that nothing depends on the machine or on the version of a compressor.
"""

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from typing import Any

INDEX = "index.jsonld"
FORM = "urn:sovereign:archive:1"
MOST_SIZE = 1 << 30  # bytes of an archive that is read
CONTEXT = {
    "dcat": "http://www.w3.org/ns/dcat#",
    "dct": "http://purl.org/dc/terms/",
    "spdx": "http://spdx.org/rdf/terms#",
}
_WHEN = (1980, 1, 1, 0, 0, 0)  # the earliest that the format can say
_MODE = 0o100600 << 16


_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    RuntimeError,  # encrypted, of an unknown kind, or nested without end
    TypeError,
    ValueError,
)


class ArchiveError(ValueError):
    """Not an archive as it was made. The message says where it departs."""


@dataclass(frozen=True, slots=True)
class ArchivePart:
    """One file: its name, bytes, media type, and what it is in a few words."""

    name: str
    data: bytes
    media: str
    about: str


@dataclass(frozen=True, slots=True)
class PackedArchive:
    """An archive that was read: its index, and its files by name."""

    index: Mapping[str, Any]
    files: Mapping[str, bytes]


def packed(head: Mapping[str, Any], parts: Sequence[ArchivePart]) -> bytes:
    """`head`: what the index says besides its files."""
    ordered = sorted(parts, key=lambda part: part.name)
    index = {"@context": CONTEXT, "@type": "dcat:Dataset", "dct:conformsTo": FORM, **head}
    index["dcat:distribution"] = [_described(part) for part in ordered]
    made = BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as file:
        _put(file, INDEX, document(index))
        for part in ordered:
            _put(file, part.name, part.data)
    return made.getvalue()


def unpacked(data: bytes) -> PackedArchive:
    """Everything in an archive, each file as the index describes it. Raises ArchiveError."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as file:
            _require_size(sum(each.file_size for each in file.infolist()))
            files = {name: file.read(name) for name in file.namelist()}
            doubled = len(files) != len(file.namelist())
        index = json.loads(files.pop(INDEX))
        described = {each["@id"]: each for each in index["dcat:distribution"]}
        form = index["dct:conformsTo"]
    except ArchiveError:
        raise
    except _BROKEN as error:
        raise ArchiveError(f"want a ZIP with {INDEX}, found: {error}; export it again") from error
    if form != FORM:
        raise ArchiveError(f"of the form {form!r}, want {FORM}: use the program that made it")
    if doubled or described.keys() != files.keys():
        odd = sorted(described.keys() ^ files.keys())[:4]
        raise ArchiveError(f"its index and its files differ in {odd}; export it again")
    for name, data_ in files.items():
        if _checksum(data_) != described[name].get("spdx:checksum"):
            raise ArchiveError(f"{name} is not what the index says; export it again")
    return PackedArchive(index, files)


def _require_size(size: int) -> None:
    if size > MOST_SIZE:
        raise ArchiveError(
            f"it unpacks to {size} bytes, want at most {MOST_SIZE}; nothing was read"
        )


def document(value: Any) -> bytes:
    """JSON for people and programs: sorted, a line for each member."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def _put(file: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, _WHEN)
    entry.create_system, entry.external_attr = 3, _MODE
    file.writestr(entry, data)


def _described(part: ArchivePart) -> dict[str, Any]:
    return {
        "@id": part.name,
        "@type": "dcat:Distribution",
        "dcat:byteSize": len(part.data),
        "dcat:mediaType": part.media,
        "dct:description": part.about,
        "spdx:checksum": _checksum(part.data),
    }


def _checksum(data: bytes) -> dict[str, str]:
    return {"spdx:algorithm": "sha256", "spdx:checksumValue": sha256(data).hexdigest()}
