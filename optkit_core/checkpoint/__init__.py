"""State that can be trusted: what a checkpoint holds, and how it is checked, adapted and loaded.

A room of its own, imported when state is saved or loaded for the first time. A saved state
goes through these modules: `saved` reads it, `importers` and `migrations` bring it to the
algorithm's own schema, `matching` pairs its parameters with the optimizer's, `verification`
compares every value with the `schema`, judging tensors by their `forms`, and only then does
`loading` copy anything. What was found is a `report`. `collecting` is the way out.
"""
