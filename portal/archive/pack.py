"""Packs files into one ZIP with an index of digests; the same files give the same bytes.

    index.jsonld
        {"@context": {"dcat": "http://www.w3.org/ns/dcat#", …}, "@type": "dcat:Dataset",
         "dct:conformsTo": "urn:sovereign:archive:1", "dct:created": "2026-11-21T12:00:00Z",
         "dct:subject": "c00007", "dct:source": "bank.example/consent",
         "dcat:distribution": [{"@id": "agreement.json", "@type": "dcat:Distribution",
           "dcat:byteSize": 812, "dcat:mediaType": "application/json",
           "dct:description": "What is in force",
           "spdx:checksum": {"spdx:algorithm": "sha256", "spdx:checksumValue": "5b0c…"}}, …]}

The index comes first, then the files in the order of their names. All are stored uncompressed with
one fixed time, so that the bytes do not depend on the machine or on a compressor's version.
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
MAX_SIZE = 1 << 30  # bytes of an archive that is read
CONTEXT = {
    "dcat": "http://www.w3.org/ns/dcat#",
    "dct": "http://purl.org/dc/terms/",
    "spdx": "http://spdx.org/rdf/terms#",
}
_WHEN = (1980, 1, 1, 0, 0, 0)  # the earliest time in the ZIP format
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
    """Not a valid archive. The message says where it is wrong."""


@dataclass(frozen=True, slots=True)
class ArchivePart:
    """One file: its name, bytes, media type, and a short description."""

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
    """The ZIP of `parts`. `head`: members of the index besides its files."""
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
        raise ArchiveError(
            f"the archive has form {form!r}, want {FORM}: import it with the program that made it"
        )
    if doubled or described.keys() != files.keys():
        odd = sorted(described.keys() ^ files.keys())[:4]
        raise ArchiveError(f"the index and the files differ in {odd}; export the archive again")
    for name, data_ in files.items():
        if _checksum(data_) != described[name].get("spdx:checksum"):
            raise ArchiveError(
                f"{name} does not match its digest in the index; export the archive again"
            )
    return PackedArchive(index, files)


def _require_size(size: int) -> None:
    if size > MAX_SIZE:
        raise ArchiveError(
            f"the archive unpacks to {size} bytes, want at most {MAX_SIZE}; nothing was read"
        )


def document(value: Any) -> bytes:
    """JSON for people and programs: sorted, one member per line."""
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
