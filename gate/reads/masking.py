"""Masks personal data in free text before it leaves the gate.

    "Hi, I'm Clara, call +44 7700 900417 or 4111 1111 1111 1111"
    "Hi, I'm [name], call [phone] or [card]"

It masks three kinds of data: the customer's own known values (name, addresses, numbers) in the
variants in which people write them; numbers that a check proves (payment cards, bank accounts,
national ids); and values of an unmistakable form (e-mail addresses, telephone numbers:
international, and as the countries of `telephones.REGIONS` write them). It cannot promise to mask
everything: it does not recognise names of other people. Time is linear in the text's length.

What leaves is in Unicode's composed form (NFC), with plain letters and digits instead of wide ones,
and without characters that have no width. Measured by `python -m benchmarks gate_masking`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gate.reads.masks import identifiers, mail, own_values, telephones
from gate.reads.masks.shadow import Shadow, plain

_LABELS = re.compile(r"\[(?:name|e-mail|phone|card|id|account)\]")


def mask(text: str, known: Sequence[object] = ()) -> str:
    """The text with personal data replaced. `known`: the customer's own values to mask."""
    shadow = Shadow(plain(text), _LABELS)
    mail.hide(shadow)
    own_values.hide(shadow, [str(each) for each in known if each is not None])
    telephones.hide_international(shadow)
    identifiers.hide(shadow)
    telephones.hide_national(shadow)
    return shadow.masked()


def batches(incoming: Iterator[Any], free: Sequence[str], known: Sequence[str]) -> Iterator[Any]:
    """Mask the columns `free` of record batches, each row using its own columns `known`."""
    import pyarrow as pa

    for batch in incoming:
        masked = batch
        names = [batch[name].to_pylist() for name in known]
        whose = list(zip(*names, strict=True)) if names else [()] * batch.num_rows
        for field in free:
            texts = zip(batch[field].to_pylist(), whose, strict=True)
            values = [None if text is None else mask(text, row) for text, row in texts]
            place = batch.schema.get_field_index(field)
            masked = masked.set_column(
                place, batch.schema.field(field), pa.array(values, pa.string())
            )
        yield masked


def row(values: Mapping[str, Any], free: Sequence[str], known: Sequence[str]) -> dict[str, Any]:
    """One customer's values, with those in `free` masked using those in `known`."""
    whose = [values.get(name) for name in known]
    return {
        name: mask(value, whose) if name in free and value is not None else value
        for name, value in values.items()
    }
