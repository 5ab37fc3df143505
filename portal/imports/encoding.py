"""Decodes a file of text: UTF-8 and nothing else."""

from portal.imports.mapping import MappingError

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def decoded(data: bytes) -> str:
    """The text of a file in UTF-8, with or without a byte order mark. Raises MappingError."""
    if data.startswith(_UTF_16):
        raise MappingError("line 1: want UTF-8, found UTF-16: convert the file first")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise MappingError(
            f"line {line}: want UTF-8, found the byte 0x{data[error.start]:02x}: convert the file "
            "first (it may be Latin-1 or Windows-1252)"
        ) from error
    if (at := text.find("\0")) >= 0:
        line = text.count("\n", 0, at) + 1
        raise MappingError(
            f"line {line}: want text, found a NUL byte: convert the file to UTF-8 first"
        )
    if not text.strip():
        raise MappingError("line 1: want rows, found an empty file: export it again")
    return text
