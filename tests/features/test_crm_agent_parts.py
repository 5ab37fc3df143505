"""M35: parts of the CRM's agents: prices in texts, the scope of a conversation, the endpoint."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from examples.crm.agents import prices
from examples.crm.agents.endpoint import ModelEndpoint
from examples.crm.agents.gate_tools import CustomerScope
from examples.crm.agents.model import AgentTask, Exchange, ModelError, ModelStep, ToolCall
from examples.crm.agents.roles import MESSAGE
from examples.crm.agents.rules import Rules

RIGHT = (
    "Thank you for your message.",
    "Fibre 100 costs $49.90 a month.",
    "Fibre 100 costs 49.90 US dollars. Fibre 300 costs US$69.90 a month.",
    "Glasfaser 300 kostet 69,90 US-Dollar im Monat.",
    "光纤300每月69.90美元。固定电话每月19.90美元。",
)
WRONG = {
    "another price": "Fibre 100 costs $9.90 a month.",
    "the price of another product": "Fibre 100 costs $69.90 a month.",
    "prices of two products in one sentence": "Fibre 100 for $69.90 or Fibre 300 for $49.90.",
    "no such product": "Fibre 200 costs $49.90 a month.",
    "no product": "It costs $49.90 a month.",
    "another currency": "Fibre 100 costs 49.90 euros a month.",
    "without a currency": "Fibre 100 costs 49.90 a month.",
    "a longer number": "Fibre 100 costs $49.901 a month.",
    "a larger number": "Fibre 100 costs 1$49.90 a month.",
    "another period": "Fibre 100 costs $49.90 a week.",
    "another period in Chinese": "光纤100每年49.90美元。",
    "a discount": "Fibre 100 costs $49.90 a month, with 50 % off.",
    "a discount in words": "Fibre 100 costs $49.90 a month, less a discount.",
    "a discount in Chinese": "光纤100打八折。",
    "a price in words": "Fibre 100 costs ten dollars.",
    "a price in Chinese words": "光纤100每月九美元。",
    "full width": "Fibre 100 costs ＄９.９０ a month.",
    "an invisible character": "Fibre 100 costs $9\u200b.90 a month.",
    "a Roman numeral": "Fibre 100 costs Ⅸ a month.",
    "Arabic digits": "Fibre 100 costs ٩ a month.",
    "a circled number": "Fibre 100 costs ⑨ a month.",
}


@pytest.mark.parametrize("text", RIGHT)
def test_r20_a_price_of_the_table_has_no_fault(text: str) -> None:
    assert prices.faults(text) == ()


@pytest.mark.parametrize("why", WRONG)
def test_r20_any_other_number_or_word_for_money_is_a_fault(why: str) -> None:
    assert prices.faults(WRONG[why])


REFUSED: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "another customer": ("read_customer", {"customer": "b"}),
    "no text as the customer": ("read_customer", {"customer": ["a"]}),
    "another person": ("read_customer", {"on_behalf_of": "q"}),
    "a tool that the program calls": ("propose_action", {"customer": "a"}),
    "several customers": ("read_customers", {"customers": ["a"]}),
    "a tool of no server": ("send", {}),
}


@pytest.mark.parametrize("why", REFUSED)
def test_r17_a_call_outside_the_conversation_is_refused(why: str) -> None:
    assert CustomerScope("a", "p").refusal(ToolCall("1", *REFUSED[why])) is not None


def test_r17_the_program_sets_customer_and_person() -> None:
    scope, call = CustomerScope("a", "p"), ToolCall("1", "read_customer", {"fields": ["name"]})
    assert scope.refusal(call) is None
    assert scope.arguments(call) == {"fields": ["name"], "customer": "a", "on_behalf_of": "p"}


def task(message: str) -> AgentTask:
    return AgentTask("Answer.", {MESSAGE: {"view": "personal", "value": message}}, ())


@pytest.mark.parametrize(
    "message", ["What is the price?", "请问多少钱？", "Was ist bitte der Preis?"]
)
def test_r20_the_rules_name_prices_of_the_table(message: str) -> None:
    first = asyncio.run(Rules().step(task(message), []))
    text = asyncio.run(Rules().step(task(message), [Exchange(first, ({},))])).text
    assert "49.90" in text
    assert prices.faults(text) == ()
    wrong = asyncio.run(Rules("9.90").step(task(message), [Exchange(first, ({},))])).text
    assert prices.faults(wrong)


@contextmanager
def endpoint(answer: bytes, asked: list[dict[str, Any]], status: int = 200) -> Iterator[str]:
    class Completions(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            sent = {"path": self.path, "key": self.headers.get("authorization")}
            asked.append(json.loads(body) | sent)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Completions)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


def completion(**message: Any) -> bytes:
    whole = {"model": "m", "choices": [{"message": message}], "usage": {"total_tokens": 7}}
    return json.dumps(whole).encode()


def test_r21_an_endpoint_is_told_the_task_and_every_exchange() -> None:
    call = {"id": "1", "function": {"name": "list_uses", "arguments": "{}"}, "type": "function"}
    asked: list[dict[str, Any]] = []
    with endpoint(completion(content=None, tool_calls=[call]), asked) as url:
        step = asyncio.run(ModelEndpoint(url, "m", "secret").step(task("Hello"), []))
        assert step == ModelStep((ToolCall("1", "list_uses", {}),), "", 7)
        done = [Exchange(step, ({"uses": []},))]
        asyncio.run(ModelEndpoint(url, "m", "secret").step(task("Hello"), done))
    assert [each["role"] for each in asked[1]["messages"]] == [
        "system",
        "user",
        "assistant",
        "tool",
    ]
    assert (asked[0]["path"], asked[0]["key"]) == ("/v1/chat/completions", "Bearer secret")


NO_COMPLETION = {
    "no JSON": b"hello",
    "no choices": b'{"model": "m", "choices": [], "usage": {"total_tokens": 1}}',
    "no usage": b'{"model": "m", "choices": [{"message": {"content": "x"}}]}',
    "arguments that are a list": completion(
        tool_calls=[{"id": "1", "function": {"name": "x", "arguments": "[]"}}]
    ),
    "arguments that are no JSON": completion(
        tool_calls=[{"id": "1", "function": {"name": "x", "arguments": "{"}}]
    ),
}


@pytest.mark.parametrize("why", NO_COMPLETION)
def test_r21_what_is_no_completion_is_an_error(why: str) -> None:
    with endpoint(NO_COMPLETION[why], []) as url, pytest.raises(ModelError):
        asyncio.run(ModelEndpoint(url, "m").step(task("Hello"), []))


def test_r21_another_status_is_an_error() -> None:
    with endpoint(b"{}", [], 500) as url, pytest.raises(ModelError, match="got 500"):
        asyncio.run(ModelEndpoint(url, "m").step(task("Hello"), []))
