"""A plugin of optkit: three algorithms, a schedule, an implementation and a hook."""
