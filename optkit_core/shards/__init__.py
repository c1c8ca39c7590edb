"""Parameters of which this rank holds a part: DTensors, and how they are stepped."""
