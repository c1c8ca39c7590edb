"""``optkit compare``: one network trained by several optimizers, a table, a picture and figures."""
