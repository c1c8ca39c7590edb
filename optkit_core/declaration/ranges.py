"""Ranges of hyperparameters: each knows what it allows and says what is wrong.

Every complaint reads ``betas[0] must be in [0, 1), got 1.2.``, followed in brackets by
the words that torch.optim uses for the same fault, so that code which matches those
keeps working. They are made at every import and never compared, so they go without the
methods for that, which would take attrs half of the time.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import attrs
from torch import Tensor

from optkit_core.declaration.choice_ranges import Boolean, OneOf
from optkit_core.param_groups.builtin_values import is_real, number, plain
from optkit_core.param_groups.spelling import got, shown, unquoted

TORCH_LABELS = {"lr": "learning rate", "eps": "epsilon value", "betas": "beta parameter"}


class Range(Protocol):
    """What is allowed for one hyperparameter."""

    def complaint(self, name: str, value: Any) -> str:
        """Return what is wrong with `value`, or an empty string.

        Args:
            name: what the value is called in the message.
            value: anything.
        """
        ...


@runtime_checkable
class Savable(Protocol):
    """A range of values that aren't all saved as they are."""

    def saved(self, value: Any) -> Any:
        """Return what stands for `value` in a checkpoint: a number, a string, ..."""
        ...

    def restored(self, value: Any, live: Any) -> Any:
        """Return what a saved value stands for, where the group holds `live`.

        Args:
            value: what was saved.
            live: what the group holds now.
        """
        ...


def converter(range: Range) -> Callable[[Any], Any]:
    """Return what turns a value that a range allows into the one that is kept.

    A range may have a method ``converted(value)`` for it; `plain` does it for the others.
    """
    convert: Callable[[Any], Any] = getattr(range, "converted", plain)
    return convert


@attrs.frozen(eq=False, repr=False)
class RealInterval:
    """Real numbers from `low` to `high`; a one-element tensor counts as its number."""

    low: float
    high: float = float("inf")
    closed: bool = False
    optional: bool = False
    torch_words: str | None = ""
    above: bool = False

    def __str__(self) -> str:
        start, end = "(" if self.above else "[", "]" if self.closed else ")"
        return f"{start}{self.low:g}, {self.high:g}{end}{' or None' if self.optional else ''}"

    def complaint(self, name: str, value: Any) -> str:
        """Return what is wrong with `value`, or an empty string."""
        # Nearly all values take this way, and whole optimizers are checked again and again.
        if type(value) is float and self.low <= value < self.high and not self.above:
            return ""
        if isinstance(value, Tensor):
            return self._tensor_complaint(name, value)
        if value is None and self.optional:
            return ""
        value = number(value)
        if not is_real(value):
            return f"{name} must be a number in {self}, {got(value)}"
        if not self._holds(value):
            return f"{name} must be in {self}, got {shown(value)}.{self._words(name, value)}"
        return ""

    def _words(self, name: str, value: Any) -> str:
        if self.torch_words is None:
            return ""
        return f" [{self.torch_words or _in_torch_words(name, value)}]"

    def _holds(self, value: Any) -> bool:
        try:
            number = float(value)
            if self.above and number == self.low:
                return False
            return self.low <= number < self.high or (self.closed and number == self.high)
        except (OverflowError, ValueError):  # beyond all floats, or a signaling NaN
            return False

    def _tensor_complaint(self, name: str, value: Tensor) -> str:
        if value.numel() != 1:
            return (
                f"{name} must be a number or a tensor of one element, got a tensor of shape "
                f"{tuple(value.shape)}. [Tensor {name} must be 1-element]"
            )
        if value.is_complex() or value.device.type == "meta":
            return f"{name} must be a real number in {self}, got {value!r}."
        # On an accelerator this waits for the tensor: its range can't be told otherwise.
        return self.complaint(name, value.item())


@attrs.frozen(eq=False, repr=False)
class TupleOf:
    """A fixed number of values, each inside a range."""

    ranges: tuple[Range, ...]

    def __str__(self) -> str:
        alike = all(range is self.ranges[0] for range in self.ranges)
        words = list(map(str, self.ranges))
        return f"{len(words)} × {words[0]}" if alike else f"({', '.join(words)})"

    def complaint(self, name: str, value: Any) -> str:
        """Return what is wrong with `value`, or an empty string."""
        # NumPy's arrays and tensors aren't registered as sequences.
        is_row = isinstance(value, Sequence) or len(getattr(value, "shape", ())) == 1
        if not is_row or isinstance(value, (str, bytes)) or len(value) != len(self.ranges):
            what = str(self.ranges[0]) if " × " in str(self) else str(self)
            return f"{name} must be {len(self.ranges)} values, each in {what}, {got(value)}"
        for position, (range, item) in enumerate(zip(self.ranges, value, strict=True)):
            complaint = range.complaint(f"{name}[{position}]", item)
            if complaint:
                return complaint
        return ""

    def converted(self, value: Any) -> tuple[Any, ...]:
        """Return the values in a tuple."""
        pairs = zip(self.ranges, value, strict=True)
        return tuple([converter(range)(item) for range, item in pairs])


@attrs.frozen(eq=False, repr=False)
class Whole:
    """Whole numbers from `low` up, to `high` if there is one; None too where `optional`."""

    low: int
    optional: bool = False
    high: int | None = None

    def __str__(self) -> str:
        limits = f"≥ {self.low}" if self.high is None else f"{self.low} to {self.high}"
        return f"whole, {limits}{' or None' if self.optional else ''}"

    def complaint(self, name: str, value: Any) -> str:
        """Return what is wrong with `value`, or an empty string."""
        if value is None and self.optional:
            return ""
        value = number(value)
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if whole and self.low <= value and (self.high is None or value <= self.high):
            return ""
        most = "" if self.high is None else f" and at most {self.high}"
        return f"{name} must be a whole number of at least {self.low}{most}, {got(value)}"


def at_least(
    low: float, *, infinite: bool = False, optional: bool = False, torch_words: str | None = ""
) -> Range:
    """Allow any finite real number from `low` up, and infinity where `infinite`.

    Args:
        low: the smallest number that is allowed; ``-inf`` for all finite ones.
        infinite: whether infinity, and a `low` of ``-inf``, are allowed too (default False).
        optional: whether None is allowed too (default False).
        torch_words: what torch.optim says of another value (default: ``Invalid ... value``); None:
            nothing, since it isn't about one of torch.optim's hyperparameters.

    >>> at_least(0.0).complaint("lr", -1.0)
    'lr must be in [0, inf), got -1.0. [Invalid learning rate: -1.0]'
    """
    is_open = low == -math.inf and not infinite
    return RealInterval(
        low, closed=infinite, optional=optional, torch_words=torch_words, above=is_open
    )


def within(
    low: float,
    high: float,
    *,
    closed: bool = False,
    optional: bool = False,
    torch_words: str | None = "",
    above: bool = False,
) -> Range:
    """Allow real numbers from `low` (included) to `high` (excluded unless `closed`).

    Args:
        low: the smallest number that is allowed.
        high: the smallest number above that isn't.
        closed: whether `high` is allowed too (default False).
        optional: whether None is allowed too (default False).
        torch_words: as in `at_least`.
        above: whether `low` itself isn't allowed (default False).

    >>> within(0.0, 1.0, closed=True, above=True).complaint("decay", 0)
    'decay must be in (0, 1], got 0. [Invalid decay value: 0]'
    """
    return RealInterval(low, high, closed, optional, torch_words, above)


def each(range: Range, length: int = 2) -> Range:
    """Allow a tuple or list of `length` values, each inside `range`.

    Args:
        range: what each value must be.
        length: how many there must be (default 2).

    >>> each(within(0.0, 1.0)).complaint("betas", (0.9, 1.0))
    'betas[1] must be in [0, 1), got 1.0. [Invalid beta parameter at index 1: 1.0]'
    """
    return TupleOf((range,) * length)


def tuple_of(*ranges: Range) -> Range:
    """Allow a tuple or list of values, each inside a range of its own.

    Args:
        *ranges: what each value must be.

    >>> tuple_of(at_least(0.0, optional=True), at_least(1.0)).complaint("eps", (None, 0.5))
    'eps[1] must be in [1, inf), got 0.5. [Invalid epsilon value at index 1: 0.5]'
    """
    return TupleOf(ranges)


def whole(low: int, *, optional: bool = False, high: int | None = None) -> Range:
    """Allow whole numbers from `low` up, and None where `optional`.

    Args:
        low: the smallest number that is allowed.
        optional: whether None is allowed too (default False).
        high: the largest number that is allowed; None (default): there is no limit.

    >>> whole(1, high=3).complaint("n", 4)
    'n must be a whole number of at least 1 and at most 3, got 4.'
    """
    return Whole(low, optional, high)


def boolean() -> Range:
    """Allow True and False."""
    return Boolean()


def one_of(*values: Any, in_torch: str = "") -> Range:
    """Allow the listed values and no others.

    Args:
        *values: None, texts, numbers.
        in_torch: what torch.optim says of another value, with ``{}`` in its place (default: "").
    """
    return OneOf(values, in_torch)


def _in_torch_words(name: str, value: Any) -> str:
    base, _, index = name.rstrip("]").partition("[")
    label = TORCH_LABELS.get(base, f"{base} value")
    return f"Invalid {label}{f' at index {index}' if index else ''}: {unquoted(value)}"
