"""The group of edwards25519 in Python integers: RFC 8032, section 5.1, and RFC 7748.

A point is (X, Y, Z, T) with x = X/Z, y = Y/Z and T = XY/Z: extended twisted Edwards coordinates
(Hisil, Wong, Carter, Dawson 2008). Nothing here takes constant time, so it is for public values;
a secret scalar goes through libsodium: see ledger.statemap.vrf_key.

The verifier imports this module, so it uses the standard library only.
"""

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
SIZE = 32  # bytes of an encoded point or scalar
COFACTOR_BITS = 3  # the cofactor is 8

_D = -121665 * pow(121666, -1, P) % P
_D2 = 2 * _D % P
_ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
_WINDOW = 4  # bits

Point = tuple[int, int, int, int]
IDENTITY: Point = (0, 1, 1, 0)


class MalformedPointError(ValueError):
    """The bytes are not the canonical encoding of a point of the curve."""


def decode(data: bytes) -> Point:
    """The point that 32 bytes encode: RFC 8032, section 5.1.3. Raises MalformedPointError."""
    if len(data) != SIZE:
        raise MalformedPointError(f"{len(data)} bytes, want {SIZE}")
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    if y >= P:
        raise MalformedPointError("the coordinate y is not below the prime")
    u, v = (y * y - 1) % P, (_D * y * y + 1) % P
    v3 = v * v * v % P
    x = u * v3 * pow(u * v3 * v3 * v % P, (P - 5) // 8, P) % P
    if (square := v * x * x % P) != u:
        if square != P - u:
            raise MalformedPointError("no point of the curve has this coordinate y")
        x = x * _ROOT_OF_MINUS_ONE % P
    if x == 0 and sign:
        raise MalformedPointError("the coordinate x is zero, and its sign is set")
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def encode(point: Point) -> bytes:
    """The 32 bytes of a point: y, and the sign of x in the highest bit."""
    x, y, z, _ = point
    inverse = pow(z, -1, P)
    x, y = x * inverse % P, y * inverse % P
    return (y | (x & 1) << 255).to_bytes(SIZE, "little")


def add(one: Point, other: Point) -> Point:
    x1, y1, z1, t1 = one
    x2, y2, z2, t2 = other
    a, b = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = t1 * _D2 * t2 % P, 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def double(point: Point) -> Point:
    x, y, z, _ = point
    a, b = x * x % P, y * y % P
    h = a + b
    e, g = h - (x + y) ** 2 % P, a - b
    f = 2 * z * z % P + g
    return e * f % P, g * h % P, f * g % P, e * h % P


def negative(point: Point) -> Point:
    x, y, z, t = point
    return P - x, y, z, P - t


def times_cofactor(point: Point) -> Point:
    """Eight times the point, which is in the subgroup of prime order."""
    for _ in range(COFACTOR_BITS):
        point = double(point)
    return point


def is_identity(point: Point) -> bool:
    x, y, z, _ = point
    return x % P == 0 and (y - z) % P == 0


def sum_of_products(a: int, one: Point, b: int, other: Point) -> Point:
    """`a` times `one` plus `b` times `other`, for scalars below 2^256 (Straus's method)."""
    tables = (a, _multiples(one)), (b, _multiples(other))
    result = IDENTITY
    for at in reversed(range(0, 8 * SIZE, _WINDOW)):
        for _ in range(_WINDOW):
            result = double(result)
        for scalar, table in tables:
            if digit := scalar >> at & (1 << _WINDOW) - 1:
                result = add(result, table[digit])
    return result


def _multiples(point: Point) -> list[Point]:
    """0 to 15 times the point."""
    multiples = [IDENTITY, point]
    while len(multiples) < 1 << _WINDOW:
        multiples.append(add(multiples[-1], point))
    return multiples


BASE = decode((4 * pow(5, -1, P) % P).to_bytes(SIZE, "little"))
