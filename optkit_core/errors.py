"""Every error that optkit raises: one base class, one way of speaking.

A message names the thing, the value, what was expected, and the way out.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class OptkitError(Exception):
    """Base class of all errors that optkit raises on purpose."""


# The builtin bases are those that code written for torch.optim or plain Python catches.
class HyperparameterError(OptkitError, ValueError):
    """A hyperparameter has a value outside its range or of the wrong type."""


class UnknownHyperparameterError(HyperparameterError, TypeError):
    """A name was given that the algorithm doesn't declare."""


class DeclarationError(OptkitError, TypeError):
    """The body of an algorithm's class declares something that can't be."""


class ParametersError(OptkitError, TypeError):
    """What was given as parameters to optimize isn't tensors or groups of them."""


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


class UnknownAlgorithmError(OptkitError, LookupError):
    """No algorithm goes by that name."""


class AmbiguousAlgorithmError(OptkitError, LookupError):
    """Several distributions claim one name."""


class RegistrationError(OptkitError, ValueError):
    """An algorithm can't be registered as asked."""


class PluginError(OptkitError, RuntimeError):
    """A plugin failed while it was imported or registered."""


class PluginWarning(UserWarning):
    """A plugin was left out because it failed; everything else works."""


class CopyWarning(UserWarning):
    """A copy or pickle of an optimizer goes without a hook or attribute of the original."""


class UnusedGroupKeyWarning(UserWarning):
    """A parameter group has a key that its algorithm neither declares nor uses."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the names close to `name`, or ``""``.

    >>> did_you_mean("lrr", ["lr", "betas"])
    " Did you mean 'lr'?"
    >>> did_you_mean("zzz", ["lr", "betas"])
    ''
    """
    # In lower case, so that `LR` finds `lr`; 3 and 0.6 are difflib's own.
    spelled = {item.lower(): item for item in known}
    close = get_close_matches(name.lower(), spelled, n=3, cutoff=0.6)
    if not close:
        return ""
    return f" Did you mean {' or '.join(repr(spelled[match]) for match in close)}?"
