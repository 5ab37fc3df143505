"""A model made of rules, for the demonstration: it reads one field and fills in a sentence."""

import re
from collections.abc import Sequence
from typing import Any

from examples.crm import words
from examples.crm.agents import prices
from examples.crm.agents.model import AgentTask, Exchange, ModelStep, ToolCall
from examples.crm.agents.roles import MESSAGE

_GERMAN = re.compile(r"[äöüß]|\b(?:ich|und|nicht|bitte|mein|eine?|sie|ist)\b", re.IGNORECASE)
_OFFER = {
    "en": "Thank you for your message. {name} costs ${price} a month.",
    "zh": "感谢您的来信。{name}每月{price}美元。",
    "de": "Danke für Ihre Nachricht. {name} kostet {price} US-Dollar im Monat.",
}
_SEEN = {
    "en": "Thank you for your message. We look into it and write to you again.",
    "zh": "感谢您的来信。我们会尽快核实并回复您。",
    "de": "Danke für Ihre Nachricht. Wir gehen ihr nach und schreiben Ihnen wieder.",
}


class Rules:
    """`price`: what it believes that the second product costs; None: as in the table."""

    name, version = "rules", "1"

    def __init__(self, price: str | None = None) -> None:
        self._price = price

    async def step(self, task: AgentTask, exchanges: Sequence[Exchange]) -> ModelStep:
        if not exchanges:
            return ModelStep((ToolCall("uses", "list_uses", {}),), "", 0)
        return ModelStep((), self._text(str(task.fields[MESSAGE]["value"])), 0)

    def _text(self, message: str) -> str:
        language: Any = "de" if _GERMAN.search(message) else words.language(message)
        asked = words.operation(message)
        if asked is not None:
            return words.draft(asked, "zh" if language == "zh" else "en")
        if words.asks_for_terms(message) or "preis" in message.lower():
            product = prices.table()[1]
            name = product.names[("en", "de", "zh").index(language)]
            return _OFFER[language].format(name=name, price=self._price or product.price)
        return _SEEN[language]
