"""What an interaction changes in the CRM's database: counters, contact data, cases."""

import sqlite3
from dataclasses import dataclass

from examples.crm import contacts, interaction, support
from examples.crm.agents.roles import BY_KIND
from examples.crm.contacts import Written
from examples.crm.interaction import FORMS, Interaction

COUNTERS = {
    "opened": "mails_opened",
    "clicked": "links_clicked",
    "replied": "replies",
    "meeting": "meetings",
}


class UnknownCustomerError(ValueError):
    """The interaction names a customer whom the company does not have."""


@dataclass(frozen=True, slots=True)
class InteractionWork:
    """`rule`: the systems that keep telephone numbers, the one that wins first."""

    rule: list[str]

    def __call__(self, connection: sqlite3.Connection, event: str, body: bytes) -> None:
        """Inside one transaction. Raises ValueError for what can never be worked on."""
        arrived = interaction.parse(body)
        query = "SELECT 1 FROM engagement WHERE subscriber = ?"
        if connection.execute(query, (arrived.customer,)).fetchone() is None:
            raise UnknownCustomerError("the company has no customer with this id")
        _count(connection, arrived)
        if arrived.text is not None:
            support.open_case(connection, event, arrived.customer, arrived.text)
            _begin_conversation(connection, event, arrived)
        if arrived.phone is not None and arrived.version is not None:
            new = Written(
                arrived.customer,
                FORMS[arrived.kind],
                arrived.phone.strip(),
                arrived.version,
                event,
            )
            contacts.write(connection, new, self.rule)


def _count(connection: sqlite3.Connection, arrived: Interaction) -> None:
    if column := COUNTERS.get(arrived.kind):
        connection.execute(
            f"UPDATE engagement SET {column} = min({column} + 1, 40) WHERE subscriber = ?",  # noqa: S608 - one of COUNTERS
            (arrived.customer,),
        )
    if arrived.text is not None:
        connection.execute(
            "UPDATE engagement SET last_message = ? WHERE subscriber = ?",
            (arrived.text, arrived.customer),
        )


def _begin_conversation(connection: sqlite3.Connection, event: str, arrived: Interaction) -> None:
    """An agent answers (examples/crm/agents); it reads the text through the gate."""
    connection.execute(
        "INSERT INTO conversation (event, customer, role, state) VALUES (?, ?, ?, 'open')",
        (event, arrived.customer, BY_KIND[arrived.kind]),
    )
