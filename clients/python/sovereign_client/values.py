"""The values of fields. What a value is stands in its type, so one kind cannot pass for another.

    view          type          its value is in
    personal      Personal      value            the customer's own
    generalised   Generalised   value            coarser, and still personal data
    synthetic     Synthetic     synthetic_value  drawn; never tell it to the customer as theirs
    withheld      Withheld      none             nothing

A drawn value has another name, so `answer["age"].value` fails for it, and a type checker says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from sovereign_client.errors import NotPersonalError, UnknownAnswerError


@dataclass(frozen=True, slots=True)
class Personal:
    """The customer's own value, for the scene that was asked about and nothing else."""

    value: Any
    view: ClassVar[Literal["personal"]] = "personal"


@dataclass(frozen=True, slots=True)
class Generalised:
    """A coarser personal value, such as a postcode area, under a permission of its own."""

    value: Any
    view: ClassVar[Literal["generalised"]] = "generalised"


@dataclass(frozen=True, slots=True)
class Synthetic:
    """A value drawn from the population. Estimate and plan with it; it is not the customer's."""

    synthetic_value: Any
    view: ClassVar[Literal["synthetic"]] = "synthetic"


@dataclass(frozen=True, slots=True)
class Withheld:
    """No value. Do not guess one."""

    view: ClassVar[Literal["withheld"]] = "withheld"


Value = Personal | Generalised | Synthetic | Withheld
_WITHHELD = Withheld()


def marked(field: str, value: Any, view: Any) -> Value:
    """A field's value with its view. Raises UnknownAnswerError for a view that is not known."""
    match view:
        case "personal":
            return Personal(value)
        case "synthetic":
            return Synthetic(value)
        case "generalised":
            return Generalised(value)
        case "withheld" if value is None:
            return _WITHHELD
    known = "personal, generalised, synthetic or withheld"
    found = "withheld with a value" if view == "withheld" else f"{view!r}"
    raise UnknownAnswerError(f"view of {field}: want {known}, found {found}; update this client")


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one answer or row: `answer["age"]` is a Value."""

    fields: Mapping[str, Value]

    def __getitem__(self, field: str) -> Value:
        return self.fields[field]

    @property
    def views(self) -> Mapping[str, str]:
        """What each field is: {"age": "personal", …}."""
        return {name: each.view for name, each in self.fields.items()}

    def personal(self, field: str) -> Any:
        """The customer's own value. Raises NotPersonalError if the field is anything else."""
        value = self.fields[field]
        if isinstance(value, Personal):
            return value.value
        raise NotPersonalError(field, value.view)
