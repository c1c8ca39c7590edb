"""Mutants: deliberately wrong algorithms and implementations, with what has to catch each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import mutant_algorithms as algorithms
import mutant_implementations as implementations
import mutant_optimizers as optimizers
import torch
from mutant_bases import Corrected, corrected

from optkit_core.testing.golden_trajectories import equals_golden
from optkit_core.testing.subject import Subject


def subject_of(algorithm: type[Any], **further: Any) -> Subject:
    """Return an algorithm as a subject, in float32."""
    return Subject(algorithm, torch.float32, torch.device("cpu"), {}, **further)


@attrs.frozen
class Mutant:
    """Something wrong, and what has to notice it.

    Args:
        algorithm: the class.
        requirement: the id of the requirement that catches it.
        words: a regular expression of what is said of it.
        is_own: whether no other requirement catches it: without this one it would pass.
        reference: what it is compared with.
        pinned_by: the algorithm that pins where steps lead.
    """

    algorithm: type[Any]
    requirement: str
    words: str
    is_own: bool = False
    reference: Any = None
    pinned_by: type[Any] | None = None

    @property
    def id(self) -> str:
        """What tells it from the others."""
        return f"{self.requirement}-{self.algorithm.__name__}"

    def subject(self, folder: Path) -> Subject:
        """Return it as the subject of checks.

        Args:
            folder: for the file of a golden trajectory.
        """
        golden = folder / "golden.json" if self.pinned_by else None
        if self.pinned_by:
            equals_golden(subject_of(self.pinned_by, golden=golden, write_golden=True))
        return subject_of(self.algorithm, reference=self.reference, golden=golden)


OWN = (
    Mutant(algorithms.AnotherDefault, "defaults", "without an argument lr is 0.2", True),
    Mutant(algorithms.SwallowingNames, "names", "the constructor swallows 'lrr'", True),
    Mutant(implementations.WritingBesideThem, "step", "faulty: wrote outside", True),
    Mutant(implementations.RightForTenSteps, "agreement", "faulty differs from forloop", True),
    Mutant(algorithms.WrongEps, "reference", "step 1 differs at parameter 0", True, corrected),
    Mutant(algorithms.WrongDecay, "golden", "led to other", True, pinned_by=Corrected),
    Mutant(algorithms.Clamping, "ranges", "the constructor takes lr=-5e-324", True),
    Mutant(implementations.MissingTails, "vector_sizes", "faulty differs .* contiguous", True),
    Mutant(implementations.Overflowing, "extreme_values", "faulty differs .* extreme", True),
    Mutant(implementations.Descending, "maximize", "faulty with maximize=True", True),
    Mutant(implementations.CoarseDecay, "groups", "faulty .* have {'decay': 0.125}", True),
    Mutant(optimizers.FirstGroupsValues, "own_values", "the second has {'lr': 0.125}", True),
    Mutant(optimizers.DefaultsForLaterGroups, "later_groups", "is added .* its own", True),
    Mutant(optimizers.LosingNames, "odd_groups", r"state_dict\(\) names its parameters None", True),
    Mutant(implementations.WithoutScale, "grad_scaler", "faulty with scaled gradients", True),
    Mutant(
        optimizers.ClaimingScales,
        "amp",
        "its own: a gradient isn't finite, .* parameter 0 changed",
        True,
    ),
    Mutant(algorithms.Differing, "differentiable", "parameter 1 of shape", True),
    Mutant(algorithms.Detaching, "gradcheck", "derivatives by a parameter .* Jacobian", True),
    Mutant(algorithms.DetachingItsRate, "gradcheck_lr", "derivatives by a tensor lr", True),
    Mutant(algorithms.RecordedUndeclared, "recording", "work and are declared as imposs", True),
    Mutant(algorithms.Synchronizing, "capturable", "forloop with capturable=True reads", True),
    Mutant(algorithms.DeafToTensors, "tensor_lr", "with a tensor lr differs from a number", True),
    Mutant(implementations.DroppingImaginaryParts, "complex", "imag part of parameter 0", True),
    Mutant(algorithms.SparseDeclared, "layouts", "sparse .* declared and don't work", True),
    Mutant(implementations.DoublingSparseGradients, "sparse", "faulty differs from forloop", True),
    Mutant(algorithms.Densified, "sparse_rows", "moves 4096 rows", True),
    Mutant(optimizers.CallingTwice, "closure", "called the closure 2 times", True),
    Mutant(optimizers.Anonymous, "schema", "is of the schema None", True),
    Mutant(optimizers.SharingCopies, "deepcopy", "the original changes with its twin", True),
    Mutant(optimizers.LosingStateInPickles, "pickle", "the twin doesn't go on", True),
    Mutant(optimizers.SharingLoads, "state_dict", "the original changes with its twin", True),
    Mutant(optimizers.Unsavable, "file", "raised", True),
    Mutant(implementations.TalkingToItself, "interchange", "foreach goes on .* saved by", True),
    Mutant(optimizers.TakingAnything, "refused_loads", "is loaded, not refused", True),
    Mutant(algorithms.Second, "migrations", "no migration from mutant-second/1", True),
    Mutant(optimizers.WithoutTorchsHooks, "torch_hooks", "hooks are called", True),
    Mutant(optimizers.WithoutResultsOfHooks, "hook_results", "is ignored", True),
    Mutant(optimizers.WithoutOwnHooks, "optkit_hooks", "hooks are called", True),
    Mutant(optimizers.ReadingItsRateOnce, "schedulers", "under LambdaLR: step 3", True),
    Mutant(optimizers.CopyingItsRateOnce, "tensor_schedules", "with a tensor lr: step", True),
    Mutant(algorithms.Compiled, "compile", "under torch.compile it arrives elsewhere", True),
    Mutant(algorithms.Averaging, "modes", "doesn't undo eval", True),
    Mutant(implementations.Shaking, "same_bits", "faulty doesn't do the same twice", True),
    Mutant(algorithms.DrawingNumbers, "random", "draws from torch's generator", True),
    Mutant(algorithms.Leaking, "memory", "50 steps leave 50 tensors", True),
    Mutant(algorithms.Uphill, "descent", "the loss is", True),
)
"""One for each requirement, which no other requirement catches."""

FURTHER = (
    Mutant(algorithms.DefaultOutOfRange, "defaults", "the default of decay is outside"),
    Mutant(algorithms.WithoutRange, "ranges", "takes decay=nan"),
    Mutant(algorithms.FailingAtItsEdge, "ranges", "with decay=0.0, at the edge .* ZeroDivision"),
    Mutant(algorithms.WrongDecay, "reference", "step 2 differs", reference=corrected),
    Mutant(algorithms.WrongCorrection, "reference", "step 1 differs", reference=corrected),
    Mutant(algorithms.WrongEps, "golden", "led to other", pinned_by=Corrected),
    Mutant(algorithms.Rebinding, "step", "don't move .* updates p in place"),
    Mutant(algorithms.UnusedBuffer, "step", "the buffer 'other' never changes"),
    Mutant(algorithms.ChangingItsGradient, "step", "never update g in place"),
    Mutant(algorithms.ReplacingItsGradient, "step", "p.grad is another tensor now"),
    Mutant(algorithms.ClearingItsGradient, "step", "p.grad is None now"),
    Mutant(implementations.DoingNothing, "step", "faulty: parameters .* don't move"),
    Mutant(implementations.SkippingTheLastTensor, "step", "faulty: parameters .* don't move"),
    Mutant(implementations.CountingTwice, "step", "the counter of parameter"),
    Mutant(implementations.CountingNothing, "step", "the counter of parameter"),
    Mutant(implementations.CountingWithoutGradient, "step", "has no gradient, and its momentum"),
    Mutant(optimizers.MovingAll, "step", "has no gradient, and it changed"),
    Mutant(algorithms.OddOffer, "step", "raised TypeError: an argument of the wrong kind"),
    Mutant(implementations.IgnoringStrides, "vector_sizes", "faulty"),
    Mutant(implementations.SwallowingNaN, "agreement", "faulty .* parameter 2 of shape"),
    Mutant(implementations.WithoutEps, "agreement", "faulty differs from forloop"),
    Mutant(implementations.WithoutCorrection, "agreement", "faulty differs from forloop"),
    Mutant(implementations.DoublingItsRate, "agreement", "faulty differs from forloop"),
    Mutant(implementations.WithoutDecay, "groups", "have {'decay': 0.125}"),
    Mutant(implementations.WithoutWeightDecay, "groups", "have {'weight_decay': 0.125}"),
    Mutant(algorithms.Descended, "maximize", "its own with maximize=True"),
    Mutant(optimizers.FailingOnEmptyGroups, "odd_groups", "a group is empty"),
    Mutant(algorithms.ComplexUndeclared, "complex", "work and are declared as impossible"),
    Mutant(algorithms.SparseUndeclared, "layouts", "work and are declared as impossible"),
    Mutant(algorithms.Wasteful, "sparse_rows", "dense tensor of its parameter's size: .*to_dense"),
    Mutant(optimizers.WithoutItsLoss, "closure", "returned None, not the loss"),
    Mutant(optimizers.WithoutAutograd, "closure", "called without torch.enable_grad"),
    Mutant(optimizers.NeverCalling, "closure", "called the closure 0 times"),
    Mutant(optimizers.UndeclaredState, "schema", r"has \['last'\], which no Buffer declares"),
    Mutant(optimizers.HalfState, "schema", "momentum has the dtype torch.bfloat16"),
    Mutant(optimizers.Unsaved, "state_dict", "the twin doesn't go on"),
    Mutant(optimizers.RefusingLate, "refused_loads", "is refused too late: the group's decay"),
    Mutant(algorithms.Forgetful, "migrations", "has no square"),
)
"""Others, some of which several requirements catch."""

MUTANTS = (*OWN, *FURTHER)
