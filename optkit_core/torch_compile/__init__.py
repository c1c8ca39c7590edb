"""The step under ``torch.compile``: Python prepares it, the compiler sees operations on tensors.

Tracing stops at an optimizer's ``step``, as it does at torch's own. Python then plans the step
as always and computes all numbers, in double precision, from hyperparameters and counts. What
is left are operations on tensors, one function that the caller's compiler compiles: numbers
reach it in a tensor, so neither a schedule nor the count of steps makes it compile again.
"""
