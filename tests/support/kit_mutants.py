"""Mutants: deliberately wrong algorithms and implementations, with what has to catch each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import mutant_algorithms as algorithms
import mutant_capabilities as capabilities
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
class KitMutant:
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
    KitMutant(algorithms.AnotherDefault, "defaults", "without an argument lr is 0.2", True),
    KitMutant(algorithms.SwallowingNames, "names", "the constructor swallows 'lrr'", True),
    KitMutant(implementations.WritingBesideThem, "step", "faulty: wrote outside", True),
    KitMutant(implementations.RightForTenSteps, "agreement", "faulty differs from forloop", True),
    KitMutant(algorithms.WrongEps, "reference", "step 1 differs at parameter 0", True, corrected),
    KitMutant(algorithms.WrongDecay, "golden", "led to other", True, pinned_by=Corrected),
    KitMutant(algorithms.Clamping, "ranges", "the constructor takes lr=-5e-324", True),
    KitMutant(implementations.MissingTails, "vector_sizes", "faulty differs .* contiguous", True),
    KitMutant(implementations.Overflowing, "extreme_values", "faulty differs .* extreme", True),
    KitMutant(implementations.NeverAscending, "maximize", "faulty with maximize=True", True),
    KitMutant(implementations.CoarseDecay, "groups", "faulty .* have {'decay': 0.125}", True),
    KitMutant(optimizers.FirstGroupsValues, "own_values", "the second has {'lr': 0.125}", True),
    KitMutant(optimizers.DefaultsForLaterGroups, "later_groups", "is added .* its own", True),
    KitMutant(
        optimizers.LosingNames, "odd_groups", r"state_dict\(\) names its parameters None", True
    ),
    KitMutant(implementations.WithoutScale, "grad_scaler", "faulty with scaled gradients", True),
    KitMutant(
        optimizers.ClaimingScales,
        "amp",
        "its own: a gradient isn't finite, .* parameter 0 changed",
        True,
    ),
    KitMutant(capabilities.Differing, "differentiable", "parameter 1 of shape", True),
    KitMutant(capabilities.Detaching, "gradcheck", "derivatives by a parameter .* Jacobian", True),
    KitMutant(capabilities.DetachingItsRate, "gradcheck_lr", "derivatives by a tensor lr", True),
    KitMutant(capabilities.RecordedUndeclared, "recording", "are declared as impossible", True),
    KitMutant(capabilities.Synchronizing, "capturable", "forloop with capturable=True reads", True),
    KitMutant(
        capabilities.DeafToTensors, "tensor_lr", "with a tensor lr differs from a number", True
    ),
    KitMutant(implementations.DroppingImaginaryParts, "complex", "imag part of parameter 0", True),
    KitMutant(capabilities.SparseDeclared, "layouts", "sparse .* declared and don't work", True),
    KitMutant(
        implementations.DoublingSparseGradients, "sparse", "faulty differs from forloop", True
    ),
    KitMutant(capabilities.Densified, "sparse_rows", "moves 4096 rows", True),
    KitMutant(optimizers.AskingTwice, "closure", "called the closure 2 times", True),
    KitMutant(optimizers.Anonymous, "schema", "is of the schema None", True),
    KitMutant(optimizers.SharingCopies, "deepcopy", "the original changes with its twin", True),
    KitMutant(optimizers.LosingStateInPickles, "pickle", "the twin doesn't go on", True),
    KitMutant(optimizers.SharingLoads, "state_dict", "the original changes with its twin", True),
    KitMutant(optimizers.Unsavable, "file", "raised", True),
    KitMutant(implementations.TalkingToItself, "interchange", "foreach goes on .* saved by", True),
    KitMutant(optimizers.TakingAnything, "refused_loads", "is loaded, not refused", True),
    KitMutant(algorithms.Second, "migrations", "no migration from mutant-second/1", True),
    KitMutant(optimizers.WithoutTorchsHooks, "torch_hooks", "hooks are called", True),
    KitMutant(optimizers.WithoutResultsOfHooks, "hook_results", "is ignored", True),
    KitMutant(optimizers.WithoutOwnHooks, "optkit_hooks", "hooks are called", True),
    KitMutant(optimizers.ReadingItsRateOnce, "schedulers", "under LambdaLR: step 3", True),
    KitMutant(optimizers.CopyingItsRateOnce, "tensor_schedules", "with a tensor lr: step", True),
    KitMutant(capabilities.Compiled, "compile", "under torch.compile it arrives elsewhere", True),
    KitMutant(algorithms.ReturningElsewhere, "modes", "doesn't undo eval", True),
    KitMutant(implementations.Shaking, "same_bits", "faulty doesn't do the same twice", True),
    KitMutant(algorithms.DrawingNumbers, "random", "draws from torch's generator", True),
    KitMutant(algorithms.Leaking, "memory", "50 steps leave 50 tensors", True),
    KitMutant(algorithms.Uphill, "descent", "the loss is", True),
)
"""One for each requirement, which no other requirement catches."""

FURTHER = (
    KitMutant(algorithms.DefaultOutOfRange, "defaults", "the default of decay is outside"),
    KitMutant(algorithms.WithoutRange, "ranges", "takes decay=nan"),
    KitMutant(algorithms.FailingAtItsEdge, "ranges", "with decay=0.0, at the edge .* ZeroDivision"),
    KitMutant(algorithms.WrongDecay, "reference", "step 2 differs", reference=corrected),
    KitMutant(algorithms.WrongCorrection, "reference", "step 1 differs", reference=corrected),
    KitMutant(algorithms.WrongEps, "golden", "led to other", pinned_by=Corrected),
    KitMutant(algorithms.NeverMoving, "step", "don't move .* updates p in place"),
    KitMutant(algorithms.UnusedBuffer, "step", "the buffer 'other' never changes"),
    KitMutant(algorithms.HalvingItsGradient, "step", "never update g in place"),
    KitMutant(algorithms.ReplacingItsGradient, "step", "p.grad is another tensor now"),
    KitMutant(algorithms.ClearingItsGradient, "step", "p.grad is None now"),
    KitMutant(implementations.DoingNothing, "step", "faulty: parameters .* don't move"),
    KitMutant(implementations.SkippingTheLastTensor, "step", "faulty: parameters .* don't move"),
    KitMutant(implementations.CountingTwice, "step", "the counter of parameter"),
    KitMutant(implementations.CountingNothing, "step", "the counter of parameter"),
    KitMutant(implementations.CountingWithoutGradient, "step", "has no gradient, and its momentum"),
    KitMutant(optimizers.MovingAll, "step", "has no gradient, and it changed"),
    KitMutant(algorithms.OddOffer, "step", "raised TypeError: an argument of the wrong kind"),
    KitMutant(implementations.IgnoringStrides, "vector_sizes", "faulty"),
    KitMutant(implementations.SwallowingNaN, "agreement", "faulty .* parameter 2 of shape"),
    KitMutant(implementations.WithoutEps, "agreement", "faulty differs from forloop"),
    KitMutant(implementations.WithoutCorrection, "agreement", "faulty differs from forloop"),
    KitMutant(implementations.DoublingItsRate, "agreement", "faulty differs from forloop"),
    KitMutant(implementations.WithoutDecay, "groups", "have {'decay': 0.125}"),
    KitMutant(implementations.WithoutWeightDecay, "groups", "have {'weight_decay': 0.125}"),
    KitMutant(algorithms.Descended, "maximize", "its own with maximize=True"),
    KitMutant(optimizers.FailingOnEmptyGroups, "odd_groups", "a group is empty"),
    KitMutant(capabilities.ComplexUndeclared, "complex", "work and are declared as impossible"),
    KitMutant(capabilities.SparseUndeclared, "layouts", "work and are declared as impossible"),
    KitMutant(
        capabilities.Wasteful, "sparse_rows", "dense tensor of its parameter's size: .*to_dense"
    ),
    KitMutant(optimizers.KeepingItsLoss, "closure", "returned None, not the loss"),
    KitMutant(optimizers.AskingWithoutAutograd, "closure", "called without torch.enable_grad"),
    KitMutant(optimizers.NeverAsking, "closure", "called the closure 0 times"),
    KitMutant(optimizers.UndeclaredState, "schema", r"has \['last'\], which no Buffer declares"),
    KitMutant(optimizers.HalfState, "schema", "momentum has the dtype torch.bfloat16"),
    KitMutant(optimizers.RememberingApart, "state_dict", "the twin doesn't go on"),
    KitMutant(optimizers.RefusingLate, "refused_loads", "is refused too late: the group's decay"),
    KitMutant(algorithms.LeavingOutWhatIsNew, "migrations", "has no square"),
)
"""Others, some of which several requirements catch."""

MUTANTS = (*OWN, *FURTHER)
