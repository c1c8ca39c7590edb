"""Ranges to search: where good values of a hyperparameter are looked for, and on what scale.

They are named as in Ray Tune and SciPy, and their attributes as Optuna's distributions. A
hyperparameter's `range` says what it allows, of which most is of no use to a search.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import attrs

from optkit_core.declaration.ranges import Range
from optkit_core.errors import DeclarationError


@attrs.frozen(repr=False)
class Uniform:
    """Real numbers between two others, each as probable as every other.

    Args:
        low: the smallest number.
        high: the largest number.
    """

    distribution: ClassVar[str] = "uniform"
    low: float = attrs.field(converter=float)
    high: float = attrs.field(converter=float)

    def __attrs_post_init__(self) -> None:
        # Not `low >= high`, which lets NaN pass.
        if not self.low < self.high:
            raise DeclarationError(f"{self}: low must be below high.")

    def __repr__(self) -> str:
        return f"{self.distribution}({self.low!r}, {self.high!r})"

    @property
    def bounds(self) -> tuple[Any, ...]:
        """The smallest and the largest number."""
        return self.low, self.high

    def ppf(self, q: float) -> Any:
        """Return the number below which the fraction `q` of all of them lies.

        Args:
            q: from 0 to 1.
        """
        return self.low + q * (self.high - self.low)

    def described(self) -> dict[str, Any]:
        """Return it as values that JSON has."""
        return {"distribution": self.distribution, "low": self.low, "high": self.high}


@attrs.frozen(repr=False)
class LogUniform(Uniform):
    """Positive real numbers, each order of magnitude as probable as every other.

    Args:
        low: the smallest number, above 0.
        high: the largest number.
    """

    distribution: ClassVar[str] = "loguniform"

    def __attrs_post_init__(self) -> None:
        Uniform.__attrs_post_init__(self)
        if not self.low > 0:
            raise DeclarationError(f"{self}: low must be above 0, since its logarithm is taken.")

    def ppf(self, q: float) -> Any:
        """Return the number below which the fraction `q` of all of them lies.

        Args:
            q: from 0 to 1.
        """
        between = self.low * (self.high / self.low) ** q
        return min(max(between, self.low), self.high)  # a power may round beyond them


@attrs.frozen(repr=False)
class Categorical:
    """A few values, each as probable as every other.

    Args:
        choices: the values.
    """

    distribution: ClassVar[str] = "choice"
    choices: tuple[Any, ...] = attrs.field(converter=tuple)

    def __attrs_post_init__(self) -> None:
        if not self.choices:
            raise DeclarationError(f"{self}: there must be a value to choose.")

    def __repr__(self) -> str:
        return f"choice([{', '.join(map(repr, self.choices))}])"

    @property
    def bounds(self) -> tuple[Any, ...]:
        """All values."""
        return self.choices

    def ppf(self, q: float) -> Any:
        """Return the value at the fraction `q` of all of them, in their order.

        Args:
            q: from 0 to 1.
        """
        return self.choices[min(int(q * len(self.choices)), len(self.choices) - 1)]

    def described(self) -> dict[str, Any]:
        """Return it as values that JSON has."""
        return {"distribution": self.distribution, "choices": list(self.choices)}


SearchSpace = Uniform | Categorical
Search = SearchSpace | tuple[SearchSpace | None, ...] | None
"""A space; for a tuple one for each entry, or None where it stays; None: nothing to search."""


def uniform(low: float, high: float) -> SearchSpace:
    """Search the real numbers between two others.

    Args:
        low: the smallest number.
        high: the largest number.

    Returns:
        Where to search, for ``hyperparameter(search=...)``.

    Raises:
        DeclarationError: `low` isn't below `high`.

    >>> uniform(0.5, 1.0).ppf(0.25)
    0.625
    """
    return Uniform(low, high)


def loguniform(low: float, high: float) -> SearchSpace:
    """Search positive real numbers by their order of magnitude, as learning rates are.

    Args:
        low: the smallest number, above 0.
        high: the largest number.

    Returns:
        Where to search, for ``hyperparameter(search=...)``.

    Raises:
        DeclarationError: `low` isn't above 0, or not below `high`.

    >>> space = loguniform(1e-5, 1e-1)
    >>> space, round(space.ppf(0.5), 9)
    (loguniform(1e-05, 0.1), 0.001)
    """
    return LogUniform(low, high)


def choice(values: Sequence[Any]) -> SearchSpace:
    """Search a few values: whole numbers, names, None, True and False.

    Args:
        values: all of them.

    Returns:
        Where to search, for ``hyperparameter(search=...)``.

    Raises:
        DeclarationError: there is none.

    >>> choice([5, 10, 100]).choices
    (5, 10, 100)
    """
    return Categorical(values)


def described(search: Search) -> Any:
    """Return where to search as values that JSON has, for a tuple a list of them.

    Args:
        search: as a hyperparameter declares it.
    """
    if isinstance(search, tuple):
        return [described(item) for item in search]
    return search.described() if search else None


def search_complaint(name: str, search: Search, default: Any, range: Range) -> str:
    """Return what is wrong with where a hyperparameter is searched, or an empty string.

    Args:
        name: the hyperparameter.
        search: where it is searched.
        default: its default, whose other entries stand beside the one that is tried.
        range: what is allowed.
    """
    entries = search if isinstance(search, tuple) else (search,)
    for item in entries:
        if not (item is None or isinstance(item, SearchSpace)):
            return f"its search must be loguniform(...), uniform(...) or choice(...), got {item!r}."
    if isinstance(search, tuple) and not _are_entries_of(default, search):
        return f"its search has {len(search)} entries, its default is {default!r}."
    complaints = (range.complaint(name, value) for value in _tried(search, default))
    complaint = next(filter(None, complaints), "")
    return complaint and f"its search leaves its range: {complaint}"


def _are_entries_of(default: Any, search: tuple[SearchSpace | None, ...]) -> bool:
    return isinstance(default, tuple) and len(default) == len(search)


def _tried(search: Search, default: Any) -> Iterator[Any]:
    """Yield values at the bounds of what is searched, one entry of a tuple after another."""
    if not isinstance(search, tuple):
        yield from search.bounds if search else ()
        return
    for position, space in enumerate(search):
        for value in space.bounds if space else ():
            yield (*default[:position], value, *default[position + 1 :])
