"""The Lago-compatible REST API: transport, errors, and one module of routes per noun."""
