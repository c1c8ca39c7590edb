"""The task that ``compare`` and ``train`` share: rows of numbers, each of one class."""
