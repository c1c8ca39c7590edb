"""What `optkit.groups` returns: group dicts for torch, and how they came to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from optkit_core.group_rules.assignments import Assignment
from optkit_core.group_rules.layer_depths import Depths
from optkit_core.group_rules.model_parameters import ModelParameter
from optkit_core.group_rules.rule import Rule


@attrs.frozen(eq=False)
class GroupRecord:
    """A group: its options, and what the rules say of each of its parameters."""

    options: Mapping[str, Any]
    assignments: list[Assignment]


@attrs.frozen(eq=False)
class Outcome:
    """How rules were applied to a model.

    Args:
        rules: the rules, in order.
        default: what stands before them.
        assignments: for each parameter of the model, in its order, what the rules say.
        claims: the parameters that each rule claims, by the rule's index.
        depths: of the rules with ``layer_decay``.
        records: the groups.
    """

    rules: Sequence[Rule]
    default: Rule | None
    assignments: Sequence[Assignment]
    claims: Mapping[int, Sequence[ModelParameter]]
    depths: Mapping[int, Depths]
    records: Sequence[GroupRecord]


class GroupList(list[dict[str, Any]]):
    """Torch's parameter groups; printed, a table of what is in each, and why.

    What is printed is how the groups were made, whatever becomes of the list later.
    """

    def __init__(self, outcome: Outcome) -> None:
        """Make the dicts of groups."""
        super().__init__(map(_as_dict, outcome.records))
        self._outcome = outcome

    def __str__(self) -> str:
        return self.table()

    def table(self, *, parameters: bool = False) -> str:
        """Return a table of the groups and the rules, 100 columns wide at most.

        Args:
            parameters: whether each parameter has a line of its own, in the order of the model.

        >>> import torch, optkit
        >>> layers = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
        >>> print(optkit.groups(layers, [{"match": "*", "lr": 0.1}]).table(parameters=True))
        1 group, 4 of 4 tensors, 9 of 9 elements
        <BLANKLINE>
        group  tensors  elements  options, and parameters that have them
            0        4         9  lr=0.1 (rule 0)
                                  {0..1}.{weight,bias}
        <BLANKLINE>
        rule    tensors  claims: says
        rule 0        4  match '*': lr=0.1
        <BLANKLINE>
        parameter   shape  group  rules that hold for it
        0.weight   (2, 2)  0      rule 0
        0.bias       (2,)  0      rule 0
        1.weight   (1, 2)  0      rule 0
        1.bias       (1,)  0      rule 0
        """
        # Imported when somebody looks.
        from optkit_core.group_rules.groups_table import table

        return table(self._outcome, parameters=parameters)


def _as_dict(record: GroupRecord) -> dict[str, Any]:
    parameters = [item.parameter for item in record.assignments]
    return {
        "params": [parameter.tensor for parameter in parameters],
        "param_names": [parameter.name for parameter in parameters],
        **record.options,
    }
