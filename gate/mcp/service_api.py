"""Asks the gate's HTTP API, and turns each failure into a named error.

    {"error": "unknown-scene", "title": "The contract does not allow this read", "detail": "…"}

A named error has what the gate says of the request, never a value of a customer: the gate's
problems have none.
"""

import json
from collections.abc import Mapping
from typing import Any

import httpx2

TIMEOUT_S = 30.0
MAX_DETAIL = 1_000  # characters of the gate's words that an error repeats
NO_ANSWER = "gate-unavailable"


class ToolRefusedError(Exception):
    """A tool call without a result. `name` identifies the error; `detail` says what to do."""

    def __init__(self, name: str, title: str, detail: str) -> None:
        super().__init__(f"{name}: {title}: {detail}")
        self.name, self.title, self.detail = name, title, detail

    @property
    def facts(self) -> dict[str, Any]:
        return {"error": self.name, "title": self.title, "detail": self.detail}


class ServiceApi:
    """The HTTP API of one gate, for one agent: every request has its `authorization`."""

    def __init__(self, client: httpx2.AsyncClient, authorization: str) -> None:
        self._client = client
        self._headers = {
            "Authorization": authorization,
            "Accept": "application/json",
            "Accept-Language": "en",
            "Content-Type": "application/json",
        }

    async def get(self, path: str) -> dict[str, Any]:
        """Raises ToolRefusedError."""
        return await self._ask("GET", path, None)

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Raises ToolRefusedError."""
        return await self._ask("POST", path, json.dumps(body).encode())

    async def _ask(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        try:
            response = await self._client.request(
                method, path, content=body, headers=self._headers, timeout=TIMEOUT_S
            )
            answer = response.json()
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            reason = type(error).__name__
            raise _unavailable(f"no answer from the gate ({reason})") from error
        except ValueError as error:  # not JSON
            raise _unavailable(
                f"the gate's answer, status {response.status_code}, is not JSON"
            ) from error
        if not isinstance(answer, dict):
            raise _unavailable("the gate's answer is not a JSON object")
        if response.is_success:
            return answer
        raise _refused(response.status_code, answer)


def _unavailable(detail: str) -> ToolRefusedError:
    title = "The gate gave no answer"
    return ToolRefusedError(NO_ANSWER, title, f"{detail}; nothing was read: try again later")


def _refused(status: int, problem: Mapping[str, Any]) -> ToolRefusedError:
    """The gate's problem (RFC 9457) by its reason, or by the last part of its type."""
    title = str(problem.get("title", "The gate refused"))[:MAX_DETAIL]
    if status >= 500:  # noqa: PLR2004 - server errors, as HTTP numbers them
        return _unavailable(title)
    slug = str(problem.get("type", "")).rpartition(":")[2]
    name = str(problem.get("reason") or slug or status)
    detail = problem.get("why") or problem.get("detail") or ""
    return ToolRefusedError(name, title, str(detail)[:MAX_DETAIL])
