"""Parameters of which this rank holds a part: DTensors, as elementwise algorithms step them."""
