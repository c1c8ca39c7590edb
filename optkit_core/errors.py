"""Every error that optkit raises: one base class, one way of speaking.

A message names the thing, the value, what was expected, and the way out.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import attrs


class OptkitError(Exception):
    """Base class of all errors that optkit raises on purpose."""


# The builtin bases are those that code written for torch.optim or plain Python catches.
class HyperparameterError(OptkitError, ValueError):
    """A hyperparameter has a value outside its range or of the wrong type."""


class UnknownHyperparameterError(HyperparameterError, TypeError):
    """A name was given that the algorithm doesn't declare."""


class ArgumentError(OptkitError, ValueError, TypeError):
    """An argument is missing, unknown, or of a value that isn't allowed.

    Attributes:
        argument: which one, as a path such as ``"schedules[1].T_max"``; ``""`` where it is none.
    """

    def __init__(self, message: str, argument: str = "") -> None:
        """Note which argument it is about."""
        super().__init__(message)
        self.argument = argument


class DeclarationError(OptkitError, TypeError):
    """The body of an algorithm's class declares something that can't be."""


class ParametersError(OptkitError, TypeError):
    """What was given as parameters to optimize isn't tensors or groups of them, or not any more."""


class UnknownRequirementError(OptkitError, ValueError):
    """The conformance kit has no requirement of a name."""


class GroupError(OptkitError, ValueError):
    """Parameter groups don't fit the optimizer or each other."""


class RuleError(GroupError):
    """A rule for groups can't be followed, or claims nothing.

    Attributes:
        reason: the message without the rule's place.
        index: the rule's place in the list, -1 for the default, None where it's about several
            or none.
        key: the key in it that is wrong, None where it isn't about one.
    """

    def __init__(self, reason: str, *, index: int | None = None, key: str | None = None) -> None:
        self.reason, self.index, self.key = reason, index, key
        place = "" if index is None else "default: " if index < 0 else f"rules[{index}]: "
        super().__init__(f"{place}{reason}")


class GradientError(OptkitError, RuntimeError):
    """The algorithm can't use a gradient, a sparse one for example."""


class ShapeError(OptkitError, RuntimeError):
    """A parameter isn't of the shape of its state or of its gradient any more."""


class ImplementationError(OptkitError, RuntimeError):
    """An implementation was requested explicitly that can't run here."""


class ModeError(OptkitError, RuntimeError):
    """An optimizer is to step in eval mode."""


class UnavailableError(OptkitError, RuntimeError):
    """An implementation can't run a bucket; the text is the reason, and ``auto`` goes on."""


class ConfigError(OptkitError, ValueError):
    """A setting from the environment or a configuration file is wrong."""


@attrs.frozen
class ConfigFault:
    """One mistake in a configuration.

    Args:
        path: of the key, ``"optimizer.groups[1].lr"`` for example; ``""`` for the whole.
        line: of the file, from 1; None where it isn't known.
        message: what is wrong, what was expected, and the way out.
    """

    path: str
    line: int | None
    message: str


class ConfigFileError(ConfigError):
    """A configuration for `optkit.from_config` is wrong; the text has a line for each mistake.

    Args:
        message: the text.
        faults: the mistakes, in the order of their lines; none where nothing could be read.
    """

    def __init__(self, message: str, faults: tuple[ConfigFault, ...] = ()) -> None:
        """Keep the mistakes beside the text."""
        super().__init__(message)
        self.faults = faults


class CheckpointError(OptkitError, ValueError):
    """Saved state doesn't fit the optimizer, or isn't what it says it is."""


class CheckpointFileError(CheckpointError):
    """A file isn't a checkpoint, is damaged, or can't be read or written."""


class CheckpointSystemError(CheckpointFileError, OSError):
    """The operating system refuses to read or write a checkpoint."""

    def __str__(self) -> str:
        return str(self.args[0])  # an OSError with an errno would show that alone


class CheckpointNotFoundError(CheckpointSystemError, FileNotFoundError):
    """There is no checkpoint, or no directory to write one into."""


class CheckpointPermissionError(CheckpointSystemError, PermissionError):
    """A checkpoint may not be read or written."""


class CheckpointIsADirectoryError(CheckpointSystemError, IsADirectoryError):
    """The path of a checkpoint is that of a directory."""


class UnknownNameError(OptkitError, LookupError):
    """Nothing goes by that name."""


class UnknownAlgorithmError(UnknownNameError):
    """No algorithm goes by that name."""


class UnknownScheduleError(UnknownNameError):
    """No schedule goes by that name."""


class UnknownAveragingError(UnknownNameError):
    """No averaging goes by that name."""


class AmbiguousNameError(OptkitError, LookupError):
    """Several distributions claim one name."""


class AmbiguousAlgorithmError(AmbiguousNameError):
    """Several distributions claim the name of an algorithm."""


class RegistrationError(OptkitError, ValueError):
    """An algorithm, a schedule or an averaging can't be registered as asked."""


class PluginError(OptkitError, RuntimeError):
    """A plugin failed while it was imported or registered."""


class PluginWarning(UserWarning):
    """A plugin was left out because it failed; everything else works."""


class CopyWarning(UserWarning):
    """A copy or pickle of an optimizer goes without a hook or attribute of the original."""


class UnusedGroupKeyWarning(UserWarning):
    """A parameter group has a key that its algorithm neither declares nor uses."""


FEWEST_LETTERS = 3
"""From how many letters on they count as the beginning of a name."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the names close to `name`, or ``""``.

    >>> did_you_mean("lrr", ["lr", "betas"])
    " Did you mean 'lr'?"
    >>> did_you_mean("cosin", ["cosine_annealing", "step"])
    " Did you mean 'cosine_annealing'?"
    >>> did_you_mean("zzz", ["lr", "betas"])
    ''
    """
    # In lower case, so that `LR` finds `lr`; 3 and 0.6 are difflib's own.
    spelled = {item.lower(): item for item in known}
    typed = name.lower()
    close = get_close_matches(typed, spelled, n=3, cutoff=0.6)
    if not close and len(typed) >= FEWEST_LETTERS:
        # The beginning of a long name is far from it by difflib's measure.
        close = [longer for longer in spelled if longer.startswith(typed)][:3]
    if not close:
        return ""
    return f" Did you mean {' or '.join(repr(spelled[match]) for match in close)}?"
