"""Kinds of buffers: each knows how an entry of the state is declared, allocated and checked."""

from collections.abc import Mapping

from optkit_core.declaration.buffer_kinds.joint_kind import JointKind
from optkit_core.declaration.buffer_kinds.kind import BufferKind
from optkit_core.declaration.buffer_kinds.opaque_kind import OpaqueKind
from optkit_core.declaration.buffer_kinds.scalar_kind import ScalarKind
from optkit_core.declaration.buffer_kinds.tensor_kinds import (
    PerElementKind,
    ShapedKind,
    TensorKind,
)

__all__ = [
    "KINDS",
    "BufferKind",
    "JointKind",
    "OpaqueKind",
    "PerElementKind",
    "ScalarKind",
    "ShapedKind",
    "TensorKind",
]

KINDS: Mapping[str, type[BufferKind]] = {
    kind.name: kind for kind in (PerElementKind, ShapedKind, ScalarKind, JointKind, OpaqueKind)
}
"""Every kind by the name that a declaration gives it."""
