"""The numbers that a kernel takes for each row of a table, computed before each step."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from optkit_core.errors import UnavailableError
from optkit_core.native.shared_structures import WORD, LineStruct, NumbersStruct, address
from optkit_core.native.tensor_reader import Reader
from optkit_core.step.buckets import Change
from optkit_core.tracing.flat_hyperparameters import (
    FIXED,
    SINGLE,
    FlatHyperparameters,
    Slot,
    has_tensor,
    numbers_of,
)
from optkit_core.tracing.recorded_body import RecordedBody


class OtherBranchError(UnavailableError):
    """The body takes another branch in this step than when it was recorded."""


class RowNumbers:
    """The numbers of the rows of one table, all of which go through one recorded body.

    Args:
        body: the recorded body.
        given: the settings of each group, by its index among the optimizer's.
        groups: the group of each row.
        counters: where the addresses of the rows' step counters stand.
        is_wide: whether these are float64, not float32.
        reader: what computes.
        scalars: where the addresses of the rows' scalar buffers stand.
        are_wide: for each scalar buffer, whether it is float64, not float32.
    """

    def __init__(
        self,
        body: RecordedBody,
        given: Mapping[int, FlatHyperparameters],
        groups: Sequence[int],
        counters: int,
        is_wide: bool,
        reader: Reader,
        scalars: int = 0,
        are_wide: Sequence[bool] = (),
    ) -> None:
        """Lay the settings out for the compiled code."""
        self.body, self._reader = body, reader
        program, rows = body.scalars, len(groups)
        self._local = {index: row for row, index in enumerate(dict.fromkeys(groups))}
        self._width = len(given[groups[0]].numbers)
        self._settings = array("d", [x for index in self._local for x in given[index].numbers])
        self._tensors = [
            (self._width * self._local[index] + offset, tensor)
            for index in self._local
            for offset, tensor in given[index].tensors
        ]
        self._slots = {slot.name: slot for slot in body.slots}
        # As `evaluate` in numbers.cpp counts values: inputs, constants, results of instructions.
        before = [*[0.0] * program.inputs, *program.constants]
        self._values = array("d", [*before, *[0.0] * len(program.instructions)])
        self._lines = (LineStruct * len(program.instructions))(
            *(LineStruct(*line) for line in program.instructions)
        )
        self._results = array("i", program.results)
        self._groups = array("i", [self._local[index] for index in groups])
        self._are_wide, self._assigned = array("i", are_wide), array("i", body.assigned)
        # After settings, count and scalar buffers.
        self._scale = self._width + 1 + len(are_wide)
        self.sets = array("i", bytes(4 * rows))
        self.numbers = array("d", bytes(WORD * rows * max(1, body.width)))
        self._new = array("d", bytes(WORD * rows * max(1, len(body.assigned))))
        self._asked = NumbersStruct(
            rows,
            address(self._groups),
            counters,
            is_wide,
            address(self._settings),
            self._width,
            len(are_wide),
            scalars,
            address(self._are_wide),
            len(self._values),
            len(program.constants),
            len(program.instructions),
            ctypes.addressof(self._lines),
            body.width,
            address(self._results),
            len(body.assigned),
            address(self._assigned),
            # What is assigned follows the kernel's numbers.
            address(self._results) + body.width * self._results.itemsize,
            address(self._values),
            address(self.sets),
            address(self.numbers),
            address(self._new),
        )
        self._address = ctypes.addressof(self._asked)

    def compute(self, inverse_scale: float | None) -> int:
        """Compute the numbers of the step to come; return how many sets of them there are.

        Raises:
            OtherBranchError: the body would take another branch than when it was recorded.
        """
        for offset, tensor in self._tensors:
            self._settings[offset] = float(tensor)
        if inverse_scale is not None:
            self._values[self._scale] = inverse_scale
        count: int = self._reader.compute(self._address)
        if not count:
            raise OtherBranchError("the update body takes another branch than before")
        return count

    def assign(self) -> None:
        """Write what `compute` has found for scalar buffers to their memory."""
        if self.body.assigned:
            self._reader.assign(self._address)

    def take_in(self, changed: Iterable[Change]) -> bool:
        """Take in values that have changed; return whether the body may go on as recorded."""
        for index, name, value in changed:
            local, slot = self._local.get(index), self._slots.get(name)
            if local is not None and slot is not None and not self._put(local, slot, value):
                return False
        return True

    def _put(self, local: int, slot: Slot, value: Any) -> bool:
        start = self._width * local + slot.start
        # The usual change, a scheduler's, for each of perhaps a thousand groups.
        if type(value) is float and slot.length == SINGLE and not self._tensors:
            self._settings[start] = value
            return True
        # A tensor may come or go by this, and `_tensors` names those of the recording.
        numbers = None if self._tensors or has_tensor(value) else numbers_of(value)
        # SINGLE is -1, and stands for one number.
        if slot.length == FIXED or numbers is None or len(numbers) != abs(slot.length):
            return False
        self._settings[start : start + len(numbers)] = array("d", numbers)
        return True
