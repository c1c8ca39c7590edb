"""State that can be trusted: what a checkpoint holds, and how it is checked, adapted and loaded.

`save` collects a state dict. `load.loading` takes one in: `load.structure` and `load.parsing` read
it, `load.identify_algorithm` refuses another algorithm's and has `migrations` and `load.importers`
bring it to the `schema` of this one, `load.matching` pairs its parameters with the optimizer's,
`load.verification` and `load.group_options` compare every value with what is declared, and only
then does `load.convert_and_copy` change anything. `file` writes and reads state dicts as files.

Plugins register migrations and importers in `conversion_registry`, which is imported with optkit;
the other modules are imported when state is saved or loaded for the first time.
"""
