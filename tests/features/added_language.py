"""A fourth language for the bank, by files alone: a copy of its folder with Arabic added.

The words are the English ones between two Arabic letters, so that nobody mistakes them for a
translation, and so that a page that shows a word without these letters shows a word of another
language. Arabic runs from right to left.
"""

import re
import shutil
from pathlib import Path

from portal.web import i18n
from steward.language import catalogue
from tests.bank import BANK

TAG = "ar"
BEGIN, END = "ا", "ب"  # Arabic letters
OWN = {"language.name": "العربية", "language.formats": "ar_EG"}
FLOW = re.compile(r"\{en: (\"[^\"]*\"|[^{}]*?), zh-CN: [^{}]*\}")
BLOCK = re.compile(r"^( +)en: (.*)\n +zh-CN: .*\n +de: .*\n", re.MULTILINE)
TOML = re.compile(r'(title = \{ en = "([^"]*)"[^}]*) \}')
VERSION = re.compile(r"^version: (\d+\.\d+)\.(\d+)$", re.MULTILINE)
WORDS = """\
reminder: "اب {scene} {day} {address}"
refused:
  incentive: [هدية]
  preselection: [تلقائيا]
  pressure: [فورا]
review:
  refund: [استرداد]
  termination: [إنهاء]
  legal: [محكمة]
  giveaway: [مجانا]
"""


def marked(text: str) -> str:
    return f"{BEGIN} {text} {END}"


def company(folder: Path) -> Path:
    """The bank with four languages, in a new folder."""
    shutil.copytree(BANK, folder)
    for path in (*folder.glob("scenes/*.yaml"), *folder.glob("sources/*.yaml")):
        text = path.read_text("utf-8")
        text = FLOW.sub(lambda found: f"{found[0][:-1]}, ar: {_yaml(found[1])}}}", text)
        text = BLOCK.sub(lambda found: f"{found[0]}{found[1]}ar: {_yaml(found[2])}\n", text)
        text = VERSION.sub(lambda found: f"version: {found[1]}.{int(found[2]) + 1}", text)
        path.write_text(text, "utf-8")
    services = (folder / "services.toml").read_text("utf-8")
    services = TOML.sub(lambda found: f'{found[1]}, ar = "{marked(found[2])}" }}', services)
    (folder / "services.toml").write_text(services, "utf-8")
    settings = (folder / "company.toml").read_text("utf-8")
    settings = settings.replace('"zh-CN", "de"]', f'"zh-CN", "de", "{TAG}"]')
    (folder / "company.toml").write_text(settings, "utf-8")
    place = catalogue.place(folder / "locales", TAG)
    place.parent.mkdir(parents=True)
    place.write_text(_catalogue(), "utf-8")
    (folder / "locales" / TAG / "stewardship.yaml").write_text(WORDS, "utf-8")
    return folder


def _yaml(text: str) -> str:
    plain = text.strip().strip('"')
    return f'"{marked(plain)}"'


def _catalogue() -> str:
    """Every message of the product, in Arabic's six plural forms."""
    written = ['msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=utf-8\\n"']
    written[0] += '\n"Language: ar\\n"\n"Plural-Forms: nplurals=6; plural=(n==0 ? 0 : n==1 ? 1 : '
    written[0] += 'n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 ? 4 : 5);\\n"'
    for key, forms in i18n.load()["en"].messages.items():
        text = OWN.get(key) or marked(forms[-1])
        quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        if len(forms) == 1:
            written.append(f'msgid "{key}"\nmsgstr "{quoted}"')
        else:
            plural = "\n".join(f'msgstr[{number}] "{quoted}"' for number in range(6))
            written.append(f'msgid "{key}"\nmsgid_plural "{key}"\n{plural}')
    return "\n\n".join(written) + "\n"
