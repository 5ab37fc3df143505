"""Names and texts of a proposed folder, in every language of the product.

What is not known in a language is the English text with a mark before it, which `sovereign check`
counts: half a translation would look like a whole one.
"""

import re
from collections.abc import Mapping

from gate.contracts.odcs import LOCALES

Text = dict[str, str]

UNTRANSLATED = "（待翻译）"  # "to be translated"
MAX_TITLE = 60  # characters of a comment that may stand as a title

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_]+")
_HAN = re.compile(r"[\u4e00-\u9fff]")
_COMMON = {  # titles of items by their names' words
    "address": ("Address", "地址"),
    "age": ("Age", "年龄"),
    "balance": ("Balance", "余额"),
    "birth date": ("Date of birth", "出生日期"),
    "city": ("City", "城市"),
    "contract": ("Contract", "合同"),
    "country": ("Country", "国家或地区"),
    "date of birth": ("Date of birth", "出生日期"),
    "email": ("E-mail address", "电子邮箱"),
    "e mail": ("E-mail address", "电子邮箱"),
    "first name": ("First name", "名"),
    "full name": ("Name", "姓名"),
    "gender": ("Gender", "性别"),
    "last name": ("Last name", "姓"),
    "name": ("Name", "姓名"),
    "payment method": ("Payment method", "付款方式"),
    "phone": ("Telephone number", "电话号码"),
    "postcode": ("Postcode", "邮政编码"),
}


def text(english: str, chinese: str | None = None) -> Text:
    return {"en": english, "zh-CN": chinese or f"{UNTRANSLATED}{english}"}


def words(name: str) -> list[str]:
    """The words of a column's name: `SeniorCitizen` senior citizen, `StreamingTV` streaming TV."""
    found = [each for each in _WORDS.findall(name) if each]
    return [each if each.isupper() and len(each) > 1 else each.lower() for each in found]


def title(name: str, comment: str = "", given: Mapping[str, str] | None = None) -> Text:
    """The title of an item: as a codebook gives it, the column's comment, or the column's name.

    `name`: as the source writes it.
    """
    split = words(name if not name.isupper() else name.lower())
    english, chinese = _COMMON.get(" ".join(split).lower(), (_sentence(split) or name, None))
    said = comment.strip()
    if said and len(said) <= MAX_TITLE and "\n" not in said:
        english, chinese = (english, said) if _HAN.search(said) else (said, None)
    stated = {**(given or {})}
    if "en" in stated:
        english, chinese = stated["en"], None
    return text(english, stated.get("zh-CN", chinese))


def titles(stated: object) -> Text:
    """A codebook's title: one text in English, or texts by language. Raises ValueError."""
    by_language = {"en": stated} if isinstance(stated, str) else stated
    if not isinstance(by_language, dict) or not by_language:
        raise ValueError(f"title is {stated!r}, want a text or texts by language")
    for locale, said in by_language.items():
        if locale not in LOCALES or not isinstance(said, str) or not said.strip():
            raise ValueError(f"title {locale!r} is {said!r}, want texts in {', '.join(LOCALES)}")
    return dict(by_language)


def require_text(value: object, name: str) -> None:
    """Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, want a text")  # noqa: TRY004 - of a file


def _sentence(split: list[str]) -> str:
    joined = " ".join(split)
    return joined[:1].upper() + joined[1:]
