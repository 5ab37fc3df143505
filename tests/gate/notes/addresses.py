"""E-mail addresses as people write them: RFC 5321 and 5322, RFC 6531 for other alphabets."""

from random import Random

from tests.gate.notes.identifiers import Written

LOCALS = {
    "zh": ("zhang.wei", "li_na88", "wangfang", "chen-jie", "13800138000", "liu.yang2020"),
    "en": ("john.smith", "m_jones", "o'brien.kate", "t.a.lee", "billing+uk", "sam99"),
    "de": ("hans.mueller", "k-schmidt", "info.berlin", "jana_w", "vertrieb+nord"),
    "es": ("ana.garcia", "jl_perez", "maria-lopez", "contacto", "pepe+casa"),
}
ALPHABETS = {
    "zh": ("张伟", "李娜.客服"),
    "en": ("zoë.brown", "renée"),
    "de": ("jörg.müller", "grüße", "weiß-k"),
    "es": ("josé.garcía", "peña_n", "iñigo"),
}
DOMAINS = ("mail.example", "example.com", "shop.example.org", "example.co.uk", "kunden.example.de",
           "correo.example.es", "qq.example.cn", "a-b.example.net")  # fmt: skip
OTHER_DOMAINS = {
    "zh": ("例子.中国", "邮件.example.cn"),
    "en": ("café.example", "xn--caf-dma.example"),
    "de": ("bücher.example.de", "xn--bcher-kva.example"),
    "es": ("españa.example.es", "xn--espaa-rta.example"),
}


def address(random: Random, language: str) -> Written:
    """The brackets and the scheme round an address are left out of the label."""
    local, domain = random.choice(LOCALS[language]), random.choice(DOMAINS)
    other = random.choice(ALPHABETS[language])
    forms = [
        (f"{local}@{domain}", "plain"),
        (f"{local}@{domain}", "plain"),
        (f"{local}@{domain}".upper(), "upper case"),
        (f"{other}@{domain}", "other alphabet"),
        (f"{other}@{random.choice(OTHER_DOMAINS[language])}", "other alphabet domain"),
        (f"{local}@{random.choice(OTHER_DOMAINS[language])}", "other alphabet domain"),
        (f'"{local} {random.randint(1, 99)}"@{domain}', "quoted"),
        (f"{local}＠{domain}", "full-width sign"),
        (f"{local}%{random.randint(1, 9)}@{domain}", "rare signs"),
        (f"{local}@[192.0.2.{random.randint(1, 250)}]", "address literal"),
    ]
    text, how = random.choice(forms)
    return Written(text, "e-mail", how)


def bracketed(random: Random, language: str) -> tuple[str, Written, str]:
    """What stands before it, the address, and what stands behind it."""
    made = address(random, language)
    before, behind = random.choice(
        [("", ""), ("", ""), ("<", ">"), ("(", ")"), ("mailto:", ""), ("“", "”")]
    )
    return before, made, behind
