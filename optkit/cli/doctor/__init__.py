"""``optkit doctor``: whether plugins, compilers, devices and settings here are in order."""
