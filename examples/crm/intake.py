"""The webhook that takes interactions in (M26): an ASGI application.

POST /crm/webhooks/interaction       signed as Standard Webhooks: webhook-id, -timestamp, -signature
202 {"status": "accepted", "event_id": "msg_2KW…"}       stored; the work is done in the background
400 an empty or malformed body   401 no valid signature   409 an id with another body   413 too long
"""

from base64 import b64encode
from pathlib import Path
from secrets import token_bytes

from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from examples.crm import interaction
from examples.crm.interaction import InteractionError
from examples.crm.mailbox import Mailbox, ReusedIdError

PATH = "/crm/webhooks/interaction"
MAX_BODY = 64 * 1024  # bytes
MAX_ID = 200  # characters
SECRET = "webhook.key"  # noqa: S105 - the name of a file


class _RefusedError(Exception):
    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
        self.status = status


def application(mailbox: Mailbox, secret: str) -> Starlette:
    """`secret`: `whsec_…`, as the sender has it."""
    verifier = Webhook(secret)

    async def receive(request: Request) -> JSONResponse:
        try:
            body = await _body(request)
            _require_signature(verifier, body, dict(request.headers))
            interaction.parse(body)
            delivery = request.headers["webhook-id"]
            await run_in_threadpool(mailbox.accept, delivery, body)
        except InteractionError as error:
            return _problem(_RefusedError(400, "Malformed interaction", str(error)))
        except ReusedIdError as error:
            return _problem(_RefusedError(409, "Id used before", str(error)))
        except _RefusedError as error:
            return _problem(error)
        return JSONResponse({"status": "accepted", "event_id": delivery}, 202)

    return Starlette(routes=[Route(PATH, receive, methods=["POST"])])


def secret_of(folder: Path) -> str:
    """The secret in the CRM's folder; made on first use, for its owner only."""
    path = folder / SECRET
    if not path.exists():
        path.touch(0o600)
        path.write_text("whsec_" + b64encode(token_bytes(32)).decode())
    return path.read_text()


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise _RefusedError(413, "Too long", f"want at most {MAX_BODY} bytes")
    if not body.strip():
        raise _RefusedError(400, "Empty body", "want an interaction as JSON, found nothing")
    return body


def _require_signature(verifier: Webhook, body: bytes, headers: dict[str, str]) -> None:
    try:
        verifier.verify(body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError) as error:
        detail = "want webhook-id, webhook-timestamp and webhook-signature of Standard Webhooks"
        raise _RefusedError(401, "No valid signature", detail) from error
    if len(headers["webhook-id"]) > MAX_ID:
        raise _RefusedError(400, "Malformed id", f"webhook-id: want at most {MAX_ID} characters")


def _problem(error: _RefusedError) -> JSONResponse:
    return JSONResponse(error.body, error.status, media_type="application/problem+json")
