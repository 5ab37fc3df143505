"""What the public client has no method for: decisions, proposals, signals and series."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

TIMEOUT_S = 30.0
OK = frozenset({200, 201})


class CallError(RuntimeError):
    """The product refused a decision or a proposal, or did not answer."""


@dataclass(frozen=True, slots=True)
class Desk:
    """The endpoints for one service. `gate`: URL. `token`: the service's."""

    gate: str
    token: str

    def explain(self, decision: Mapping[str, Any]) -> int:
        """Attach an explained decision to a read; its number. Raises CallError."""
        return int(self._post("/v1/decisions", decision)["number"])

    def propose(self, customer: str, text: str, operation: str) -> int | None:
        """Hand in a text before it is sent; the number under which it waits, None: it need not."""
        sent = {"subject": customer, "text": text, "operations": [operation]}
        number = self._post("/v1/proposals", sent)["number"]
        return None if number is None else int(number)

    def reviewed(self, customer: str, number: int) -> Mapping[str, Any] | None:
        """What a person decided; None: nobody has. `text`: what may be sent, None: nothing."""
        answer = self._post(f"/v1/proposals/{number}/ruling", {"subject": customer})
        return answer if answer["decided"] else None

    def series(self, scene: str, name: str) -> list[dict[str, Any]]:
        """The measured periods of a series, in order. Raises CallError."""
        periods: list[dict[str, Any]] = self._post("/v1/series", {"scene": scene, "series": name})[
            "periods"
        ]
        return periods

    def report(self, note: str) -> None:
        """Report a signed signal. Raises CallError."""
        self._post("/v1/signals", {"note": note})

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            answer = httpx.post(
                f"{self.gate}{path}", json=dict(body), headers=headers, timeout=TIMEOUT_S
            )
        except httpx.HTTPError as error:
            raise CallError(f"{path}: no answer: {error}") from error
        if answer.status_code not in OK:
            raise CallError(f"{path}: {answer.status_code}: {answer.text[:500]}")
        found: dict[str, Any] = answer.json()
        return found
