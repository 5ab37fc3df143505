"""Figures and words of everyday notes that must stay: no value of a person."""

from random import Random

from tests.gate.notes.identifiers import LETTERS, figures


def distractor(random: Random, language: str) -> tuple[str, str]:
    """The text, and its kind."""
    kinds = {
        "order": _order(random, language),
        "price": _price(random, language),
        "date": _date(random, language),
        "time": f"{random.randint(0, 23):02d}:{random.randint(0, 59):02d}",
        "version": f"v{random.randint(1, 20)}.{random.randint(0, 30)}.{random.randint(0, 9)}",
        "product": _product(random),
        "ticket": f"#{random.randint(1000, 999999)}",
        "tracking": f"1Z{figures(random, 3)}AA1{figures(random, 10)}",
        "ip": f"192.168.{random.randint(0, 255)}.{random.randint(1, 254)}",
        "percent": f"{random.randint(1, 99)}.{random.randint(0, 9)} %",
        "quantity": f"{random.randint(2, 20)} x {random.choice((250, 500, 750))} ml",
        "meter": f"{random.randint(1000, 99999)},{random.randint(0, 9)} kWh",
        "hotline": random.choice(("112", "10086", "95588", "911", "116116", "12345")),
        "web": f"https://shop.example/item/{figures(random, 6)}?ref={figures(random, 4)}",
        "barcode": _barcode(random),
        "coordinates": f"{_degrees(random, 80)}, {_degrees(random, 170)}",
        "handle": random.choice(("@support_team", "@helpdesk")),
        "invoice": _invoice(random),
        "serial": _serial(random),
        "uuid": _uuid(random),
    }
    kind = random.choice(["order", "order", "price", "date", *kinds])
    return kinds[kind], kind


def _order(random: Random, language: str) -> str:
    word = {"zh": "订单号", "en": "order ", "de": "Bestellnummer ", "es": "pedido "}[language]
    day = f"{random.randint(2019, 2026)}{random.randint(1, 12):02d}{random.randint(1, 28):02d}"
    number = random.choice(
        [
            figures(random, 6),
            figures(random, 7),
            random.choice("123456789") + figures(random, 8),
            "40" + figures(random, 8),
            day + figures(random, 4),
            day + figures(random, 8),
            f"{figures(random, 3)}-{figures(random, 7)}-{figures(random, 7)}",
            f"A{figures(random, 4)}-{figures(random, 4)}",
        ]
    )
    return word + number


def _price(random: Random, language: str) -> str:
    whole, cents = random.randint(1, 999), figures(random, 2)
    thousands = random.randint(1, 99)
    return random.choice(
        {
            "zh": [f"¥{whole}.{cents}", f"{thousands},{whole:03d}元", f"{whole}元"],
            "en": [f"£{whole}.{cents}", f"${thousands},{whole:03d}.{cents}", f"{whole} USD"],
            "de": [f"{whole},{cents} €", f"{thousands}.{whole:03d},{cents} EUR", f"{whole} Euro"],
            "es": [f"{whole},{cents} €", f"{thousands}.{whole:03d},{cents} euros"],
        }[language]
    )


def _date(random: Random, language: str) -> str:
    year, month, day = random.randint(2019, 2027), random.randint(1, 12), random.randint(1, 28)
    local = {
        "zh": f"{year}年{month}月{day}日",
        "en": f"{month}/{day}/{year}",
        "de": f"{day:02d}.{month:02d}.{year}",
        "es": f"{day:02d}/{month:02d}/{year}",
    }[language]
    return random.choice(
        [local, f"{year}-{month:02d}-{day:02d}", f"{year}-{month:02d}-{day:02d} 14:30"]
    )


def _product(random: Random) -> str:
    return random.choice(
        [
            f"SKU {figures(random, 4)}-{figures(random, 2)}-{random.choice('ABC')}",
            f"ART.{figures(random, 6)}",
            f"X{figures(random, 3)}Z-{figures(random, 4)}",
            f"TP-{figures(random, 5)}",
        ]
    )


def _barcode(random: Random) -> str:
    """EAN-13: weights 1 and 3 modulo 10."""
    twelve = random.choice(("400", "690", "500", "841")) + figures(random, 9)
    total = sum(int(each) * (1 if at % 2 == 0 else 3) for at, each in enumerate(twelve))
    return f"EAN {twelve}{-total % 10}"


def _uuid(random: Random) -> str:
    drawn = "".join(random.choices("0123456789abcdef", k=32))
    return "-".join((drawn[:8], drawn[8:12], drawn[12:16], drawn[16:20], drawn[20:]))


def _degrees(random: Random, most: int) -> str:
    return f"{random.randint(-most, most)}.{figures(random, 6)}"


def _invoice(random: Random) -> str:
    return f"{random.choice(('RE', 'INV', 'FA'))}-{random.randint(2019, 2026)}-{figures(random, 5)}"


def _serial(random: Random) -> str:
    letters = "".join(random.choices(LETTERS, k=3))
    return f"SN{random.randint(1, 9)}{letters}{figures(random, 5)}{random.choice(LETTERS)}"
