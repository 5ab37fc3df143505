"""Privacy losses and budgets in exact arithmetic; a budget refuses before it is overspent.

Losses are zero-concentrated differential privacy (zCDP, Bun & Steinke 2016) as exact fractions.
They add up, also under adaptive composition. For display, a sum is converted to (epsilon, delta) by
Canonne, Kamath & Steinke 2020, Proposition 12, in decimal arithmetic, so that it has the same
digits on every machine:

    epsilon = min over alpha > 1 of
              alpha rho + (ln(1/delta) - ln(alpha - 1) + alpha ln(1 - 1/alpha)) / (alpha - 1)

Every alpha gives a valid bound, so a search that stops early is still safe.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache

DIGITS = 50  # of decimal working precision
EPSILON_STEP = Decimal("1e-9")  # epsilon is rounded up to this
RHO_BITS = 48  # a calibrated rho is a multiple of 2**-48, rounded down
LAPLACE_NOISE = "discrete laplace"
GAUSSIAN_NOISE = "discrete gaussian"


class BudgetExceededError(Exception):
    """Spending `asked` would exceed the limit; `left` can still be spent. Nothing was spent."""

    def __init__(self, asked: "PrivacyLoss", left: "PrivacyLoss") -> None:
        super().__init__(
            f"the budget has rho = {float(left.rho):.6g} left, {float(asked.rho):.6g} was asked "
            "for: keep serving the last release, or wait for the next budget period"
        )
        self.asked, self.left = asked, left


class LossError(ValueError):
    """A privacy parameter is outside its range."""


@dataclass(frozen=True, slots=True, order=True)
class PrivacyLoss:
    """rho-zCDP, exact."""

    rho: Fraction

    def __post_init__(self) -> None:
        if self.rho < 0:
            raise LossError(f"rho is {self.rho}, want 0 or more")

    def __add__(self, other: "PrivacyLoss") -> "PrivacyLoss":
        return PrivacyLoss(self.rho + other.rho)

    def epsilon(self, delta: Fraction) -> Fraction:
        """The smallest epsilon found for `delta`, rounded up to a multiple of 1e-9."""
        return Fraction(_epsilon(self.rho, _require_delta(delta)))


def loss_within(epsilon: Fraction, delta: Fraction) -> PrivacyLoss:
    """The largest loss whose epsilon at `delta` is at most `epsilon`. Raises LossError."""
    if epsilon <= 0:
        raise LossError(f"epsilon is {epsilon}, want more than 0")
    _require_delta(delta)
    low, high = 0, int(epsilon * 2**RHO_BITS)  # (epsilon, delta) never allows rho > epsilon
    while high - low > 1:
        middle = (low + high) // 2
        inside = PrivacyLoss(Fraction(middle, 2**RHO_BITS)).epsilon(delta) <= epsilon
        low, high = (middle, high) if inside else (low, middle)
    return PrivacyLoss(Fraction(low, 2**RHO_BITS))


def laplace_loss(epsilon: Fraction) -> PrivacyLoss:
    """Pure epsilon-DP is epsilon²/2-zCDP (Bun & Steinke 2016, Proposition 1.4)."""
    return PrivacyLoss(epsilon * epsilon / 2)


def gaussian_loss(sensitivity: int, variance: Fraction) -> PrivacyLoss:
    """The discrete Gaussian: sensitivity²/(2 variance) (Canonne et al. 2020, Theorem 4)."""
    return PrivacyLoss(Fraction(sensitivity * sensitivity) / (2 * variance))


def measurement_loss(noise: str, sensitivity: int, scale: Fraction) -> PrivacyLoss:
    """The loss of one recorded noisy marginal. Raises LossError.

    `scale` is the standard parameter: b of the discrete Laplace, sigma of the discrete Gaussian.
    """
    if scale <= 0 or sensitivity < 1:
        raise LossError(f"scale is {scale} and sensitivity {sensitivity}, want both above 0")
    if noise == LAPLACE_NOISE:
        return laplace_loss(sensitivity / scale)
    if noise == GAUSSIAN_NOISE:
        return gaussian_loss(sensitivity, scale * scale)
    raise LossError(f"noise is {noise!r}, want {LAPLACE_NOISE!r} or {GAUSSIAN_NOISE!r}")


@dataclass(frozen=True, slots=True)
class Account:
    """The budget of one scene in one period. Immutable: `spend` returns a new account."""

    limit: PrivacyLoss
    spent: PrivacyLoss = PrivacyLoss(Fraction(0))

    @property
    def left(self) -> PrivacyLoss:
        return PrivacyLoss(max(Fraction(0), self.limit.rho - self.spent.rho))

    def spend(self, loss: PrivacyLoss) -> "Account":
        """Raises BudgetExceededError, and then nothing is spent."""
        if self.spent + loss > self.limit:
            raise BudgetExceededError(loss, self.left)
        return Account(self.limit, self.spent + loss)


def total(losses: Sequence[PrivacyLoss]) -> PrivacyLoss:
    """Adaptive composition: losses add up."""
    return PrivacyLoss(sum((loss.rho for loss in losses), Fraction(0)))


def exact(number: Fraction) -> str:
    """Format a fraction for public records: "p/q" in lowest terms, q always written."""
    return f"{number.numerator}/{number.denominator}"


def parse_exact(text: object) -> Fraction:
    """The inverse of `exact`; any other spelling is refused. Raises LossError."""
    try:
        number = Fraction(str(text))
    except (ValueError, ZeroDivisionError) as error:
        raise LossError(f"{text!r} is not a fraction p/q") from error
    if text != exact(number):
        raise LossError(f"{text!r} is not in lowest terms, want {exact(number)!r}")
    return number


def _require_delta(delta: Fraction) -> Fraction:
    if not 0 < delta < 1:
        raise LossError(f"delta is {delta}, want between 0 and 1")
    return delta


@lru_cache(maxsize=1024)  # accounts state the same few losses again and again
def _epsilon(rho: Fraction, delta: Fraction) -> Decimal:
    if rho == 0:
        return Decimal(0)
    with localcontext(Context(prec=DIGITS)):
        loss = Decimal(rho.numerator) / Decimal(rho.denominator)
        surprise = (Decimal(delta.denominator) / Decimal(delta.numerator)).ln()
        least = min(_bound(loss, surprise, t) for t in _search(loss, surprise))
        return max(Decimal(0), least).quantize(EPSILON_STEP, rounding=ROUND_CEILING)


def _bound(rho: Decimal, surprise: Decimal, t: Decimal) -> Decimal:
    """The formula above at alpha = 1 + e^t."""
    above = t.exp()
    alpha = 1 + above
    return alpha * rho + (surprise - t + alpha * (above / alpha).ln()) / above


def _search(rho: Decimal, surprise: Decimal) -> tuple[Decimal, Decimal]:
    """Ternary search over ln(alpha - 1): the bound falls, then rises."""
    low, high = Decimal(-12), Decimal(18)
    for _ in range(70):
        third = (high - low) / 3
        if _bound(rho, surprise, low + third) < _bound(rho, surprise, high - third):
            high -= third
        else:
            low += third
    return low, high
