"""``optkit train``: one network trained as a configuration says, and continued from a file."""
