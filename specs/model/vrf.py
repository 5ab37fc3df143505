"""A short model of ECVRF-EDWARDS25519-SHA512-TAI (RFC 9381): affine points, double and add."""

from hashlib import sha512

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
Point = tuple[int, int]
ZERO: Point = (0, 1)


def add(one: Point, other: Point) -> Point:
    (x1, y1), (x2, y2) = one, other
    both = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + both, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - both, -1, P)
    return x % P, y % P


def times(scalar: int, point: Point) -> Point:
    result = ZERO
    for bit in f"{scalar:b}":
        result = add(result, result)
        if bit == "1":
            result = add(result, point)
    return result


def encode(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def decode(data: bytes) -> Point | None:
    """The point; None if there is none, or another encoding is the canonical one."""
    number = int.from_bytes(data, "little")
    y, sign = number % (1 << 255), number >> 255
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    root = pow(square, (P + 3) // 8, P)
    roots = [r % P for r in (root, root * pow(2, (P - 1) // 4, P)) if r * r % P == square]
    if y >= P or not roots or (roots[0] == 0 and sign):
        return None
    return (roots[0] if roots[0] & 1 == sign else P - roots[0]), y


BASE = decode((4 * pow(5, P - 2, P) % P).to_bytes(32, "little")) or ZERO


def secret(seed: bytes) -> int:
    return int.from_bytes(sha512(seed).digest()[:32], "little") & (1 << 254) - 8 | 1 << 254


def public(seed: bytes) -> bytes:
    return encode(times(secret(seed), BASE))


def hashed(key: bytes, alpha: bytes) -> Point:
    for counter in range(256):
        digest = sha512(b"\x03\x01" + key + alpha + bytes([counter, 0])).digest()
        if point := decode(digest[:32]):
            return times(8, point)
    raise ValueError("no point")


def challenge(*points: bytes) -> int:
    return int.from_bytes(sha512(b"\x03\x02" + b"".join(points) + b"\0").digest()[:16], "little")


def prove(seed: bytes, alpha: bytes) -> bytes:
    point = hashed(public(seed), alpha)
    nonce = int.from_bytes(sha512(sha512(seed).digest()[32:] + encode(point)).digest(), "little")
    return proof(public(seed), secret(seed), point, times(secret(seed), point), nonce % Q)


def proof(key: bytes, x: int, point: Point, gamma: Point, nonce: int) -> bytes:
    """The proof with this nonce. `x`: the private scalar of `key`."""
    points = [encode(each) for each in (point, gamma, times(nonce, BASE), times(nonce, point))]
    c = challenge(key, *points)
    return points[1] + c.to_bytes(16, "little") + ((nonce + c * x) % Q).to_bytes(32, "little")


def output(gamma: Point) -> bytes:
    return sha512(b"\x03\x03" + encode(times(8, gamma)) + b"\0").digest()
