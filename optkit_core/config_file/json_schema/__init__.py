"""The JSON Schema of configurations, from what the registries hold."""
