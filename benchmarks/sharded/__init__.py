"""Steps of shards: several ranks, each with a part of every parameter."""
