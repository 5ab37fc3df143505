"""The recipients of notices: the channels of each role, from `home/steward.toml`.

    [webhook.crm]
    url = "https://crm.bank.example/hooks/consent"      # secret: home/keys/webhook-crm.whsec
    roles = ["account-manager"]

    [mail]
    host = "smtp.bank.example"
    port = 587
    sender = "consent@bank.example"
    [mail.to]
    account-manager = "desk@bank.example"
    data-protection-officer = "dpo@bank.example"

Without the file, or for a role that it does not name, messages are written to `home/mail`, so every
role has a channel. Keys that are not in this example are refused.
"""

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from steward.notify import mail, webhook
from steward.notify.outbox import UNROUTED, NoticeSender, UndeliveredError

FILE = "steward.toml"
FOLDER = "mail"
SLUG = re.compile(r"[a-z0-9][a-z0-9-]*")
ADDRESS = re.compile(r"[^\s@<>]+@[^\s@<>]+")
PORTS = range(1, 65536)
WEBHOOK, MAIL, FILED = "webhook", "mail", "file"  # a channel is one of these, a slash, and a name


class RecipientError(ValueError):
    """`steward.toml` cannot be used. The message names the key, what it needs and what it has."""


@dataclass(frozen=True, slots=True)
class Hook:
    url: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mail:
    host: str
    port: int
    sender: str
    to: Mapping[str, str]  # role -> address


@dataclass(frozen=True, slots=True)
class Recipients:
    home: Path
    hooks: Mapping[str, Hook]
    mail: Mail | None

    def channels(self, role: str) -> list[str]:
        """The channels of a role; at least one."""
        hooks = [f"{WEBHOOK}/{name}" for name, hook in self.hooks.items() if role in hook.roles]
        mails = [f"{MAIL}/{role}"] if self.mail and role in self.mail.to else []
        return [*hooks, *mails] or [f"{FILED}/{role}"]

    def sender(self, channel: str) -> NoticeSender:
        """The sender of a channel. Raises UndeliveredError if it is no longer configured."""
        kind, _, name = channel.partition("/")
        if kind == WEBHOOK and name in self.hooks:
            return self._hook(name)
        if kind == MAIL and self.mail and name in self.mail.to:
            server = self.mail
            return mail.NoticeSmtp(server.host, server.port, server.to[name], server.sender)
        if kind == FILED:
            return mail.NoticeFolder(self.home / FOLDER, f"{name}@{mail.DOMAIN}")
        raise UndeliveredError(f"{FILE} no longer names {channel}; add it again, then replay")

    def _hook(self, name: str) -> webhook.Webhook:
        path = self.home / "keys" / f"webhook-{name}.whsec"
        try:
            return webhook.Webhook(self.hooks[name].url, webhook.keys(path))
        except (webhook.WebhookError, OSError) as error:
            raise UndeliveredError(f"cannot be signed: {error}") from error


def load(home: Path) -> Recipients:
    """Load `home/steward.toml`. Raises RecipientError."""
    path = home / FILE
    if not path.exists():
        return Recipients(home, {}, None)
    try:
        declared = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RecipientError(f"{path}: {error}; see steward/notify/recipients.py") from error
    try:
        _only(declared, {WEBHOOK, MAIL}, "")
        hooks = _table(declared, WEBHOOK, "") if WEBHOOK in declared else {}
        return Recipients(
            home,
            {_slug(name): _hook(_table(hooks, name, WEBHOOK), name) for name in hooks},
            _mail(_table(declared, MAIL, "")) if MAIL in declared else None,
        )
    except RecipientError as error:
        raise RecipientError(f"{path}: {error}") from error


def channels(home: Path, role: str) -> list[str]:
    """The channels of a role; at least one.

    While `steward.toml` cannot be used, it is the channel UNROUTED of the role, so that cases can
    be opened; `steward.notify.outbox.Outbox.route` assigns the channels later.
    """
    try:
        return load(home).channels(role)
    except RecipientError:
        return [f"{UNROUTED}/{role}"]


def _slug(name: str) -> str:
    """Validate a name that becomes part of a file name."""
    if not SLUG.fullmatch(name):
        raise RecipientError(f"a webhook is named {name!r}, want letters, digits and hyphens")
    return name


def _hook(declared: Mapping[str, Any], name: str) -> Hook:
    place = f"{WEBHOOK}.{name}"
    _only(declared, {"url", "roles"}, place)
    url, roles = _text(declared, "url", place), _value(declared, "roles", place)
    try:
        webhook.require_target(url)
    except webhook.WebhookError as error:
        raise RecipientError(f"{place}.url: {error}") from None
    if not (isinstance(roles, list) and roles and all(isinstance(each, str) for each in roles)):
        raise RecipientError(f"{place}.roles: want a list of roles, found {roles!r}")
    return Hook(url, tuple(roles))


def _mail(declared: Mapping[str, Any]) -> Mail:
    _only(declared, {"host", "port", "sender", "to"}, MAIL)
    to = _table(declared, "to", MAIL)
    addresses = {role: _address(to, role, f"{MAIL}.to") for role in to}
    port = _value(declared, "port", MAIL)
    if type(port) is not int or port not in PORTS:
        raise RecipientError(f"{MAIL}.port: want a number from 1 to 65535, found {port!r}")
    host, sender = _text(declared, "host", MAIL), _address(declared, "sender", MAIL)
    return Mail(host, port, sender, addresses)


def _only(declared: Mapping[str, Any], known: Collection[str], place: str) -> None:
    """Refuse unknown keys, which are most likely misspelt."""
    for name in declared:
        if name not in known:
            near = get_close_matches(name, known, 1)
            meant = f"; did you mean {near[0]}?" if near else ""
            within = f"{place}.{name}".lstrip(".")
            raise RecipientError(f"{within}: unknown key, want {_listed(known)}{meant}")


def _value(declared: Mapping[str, Any], name: str, place: str) -> Any:
    if name not in declared:
        raise RecipientError(f"{place}.{name}: missing")
    return declared[name]


def _text(declared: Mapping[str, Any], name: str, place: str) -> str:
    value = _value(declared, name, place)
    if not isinstance(value, str) or not value.strip():
        raise RecipientError(f"{place}.{name}: want a text, found {value!r}")
    return value


def _address(declared: Mapping[str, Any], name: str, place: str) -> str:
    value = _text(declared, name, place)
    if not ADDRESS.fullmatch(value):
        raise RecipientError(f"{place}.{name}: want name@host, found {value!r}")
    return value


def _table(declared: Mapping[str, Any], name: str, place: str) -> Mapping[str, Any]:
    within = f"{place}.{name}".lstrip(".")
    value = _value(declared, name, place)
    if not isinstance(value, dict):
        raise RecipientError(f"{within}: want a table [{within}], found {value!r}")
    return value


def _listed(names: Collection[str]) -> str:
    *others, last = sorted(names)
    return f"{', '.join(others)} or {last}"
