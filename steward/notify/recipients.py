"""Who is told: the channels of each role, from `home/steward.toml`.

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

Without the file, or for a role that it does not name, messages are written to `home/mail`: nobody
who is responsible is ever without a channel.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steward.notify import mail, webhook
from steward.notify.outbox import NoticeSender, UndeliveredError

FILE = "steward.toml"
FOLDER = "mail"
SLUG = re.compile(r"[a-z0-9][a-z0-9-]*")
WEBHOOK, MAIL, FILED = "webhook", "mail", "file"  # a channel is one of these, a slash, and a name


class RecipientError(ValueError):
    """`steward.toml` cannot be used. It names the place, what was wanted and what was found."""


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
        """Where the notices of a role go; at least one."""
        hooks = [f"{WEBHOOK}/{name}" for name, hook in self.hooks.items() if role in hook.roles]
        mails = [f"{MAIL}/{role}"] if self.mail and role in self.mail.to else []
        return [*hooks, *mails] or [f"{FILED}/{role}"]

    def sender(self, channel: str) -> NoticeSender:
        """The way out of a channel. Raises UndeliveredError if it is not configured any more."""
        kind, _, name = channel.partition("/")
        if kind == WEBHOOK and name in self.hooks:
            return self._hook(name)
        if kind == MAIL and self.mail and name in self.mail.to:
            server = self.mail
            return mail.NoticeSmtp(server.host, server.port, server.to[name], server.sender)
        if kind == FILED:
            return mail.NoticeFolder(self.home / FOLDER, f"{name}@{mail.DOMAIN}")
        raise UndeliveredError(f"{FILE} no longer names {channel}; name it again, then replay")

    def _hook(self, name: str) -> webhook.Webhook:
        path = self.home / "keys" / f"webhook-{name}.whsec"
        try:
            return webhook.Webhook(self.hooks[name].url, webhook.keys(path))
        except (webhook.WebhookError, OSError) as error:
            raise UndeliveredError(f"cannot be signed: {error}") from error


def load(home: Path) -> Recipients:
    """Raises RecipientError."""
    path = home / FILE
    if not path.exists():
        return Recipients(home, {}, None)
    try:
        declared = tomllib.loads(path.read_text("utf-8"))
        if unknown := sorted(declared.keys() - {WEBHOOK, MAIL}):
            raise RecipientError(f"{path}: want webhook and mail, found {unknown}")
        hooks = {_slug(name): _hook(each) for name, each in declared.get(WEBHOOK, {}).items()}
        return Recipients(home, hooks, _mail(declared[MAIL]) if MAIL in declared else None)
    except KeyError as error:
        raise RecipientError(
            f"{path}: missing {error}; see steward/notify/recipients.py"
        ) from error
    except (OSError, TypeError, ValueError, AttributeError) as error:
        raise RecipientError(f"{path}: {error}; see steward/notify/recipients.py") from error


def _slug(name: str) -> str:
    """It is part of a file's name."""
    if not SLUG.fullmatch(name):
        raise RecipientError(f"a webhook is named {name!r}, want letters, digits and hyphens")
    return name


def _hook(declared: Mapping[str, Any]) -> Hook:
    hook = Hook(str(declared["url"]), tuple(map(str, declared["roles"])))
    webhook.require_target(hook.url)
    return hook


def _mail(declared: Mapping[str, Any]) -> Mail:
    to = {str(role): str(address) for role, address in declared["to"].items()}
    return Mail(str(declared["host"]), int(declared["port"]), str(declared["sender"]), to)
