"""E-mail addresses (RFC 5321 and 5322), also of other alphabets (RFC 6531).

Chinese has no spaces, so an address of plain letters ends where Chinese begins; a local part that
ends in Chinese begins where the Chinese text does, since nobody can say which signs belong to it.
"""

import re

from gate.reads.masks.shadow import HAN, Shadow

MAIL = "[e-mail]"
_WORD = rf"(?![{HAN}])[\w+%'&*=?^`{{|}}~!#$/-]"
_LABEL = rf"(?:(?:(?![{HAN}])[\w-])++|[{HAN}]++)"
_DOMAIN = rf"(?:\[[0-9a-z:.]{{2,45}}\]|{_LABEL}(?:\.{_LABEL})++)"
_MAIL = re.compile(
    rf'(?:(?<![\w.+%"-])"[^"\n]{{1,64}}+"'  # a quoted local part
    rf"|(?:(?<![\w.+%'&-])|(?<=[{HAN}]))(?:{_WORD}|\.)++"
    rf"|(?<![\w.+%-])[\w.+%-]++(?<=[{HAN}]))@{_DOMAIN}"
)


def hide(shadow: Shadow) -> None:
    if "@" in shadow.letters:
        shadow.mask((*match.span(), MAIL) for match in _MAIL.finditer(shadow.letters))
