"""The catalog: organizations, metrics, plans, taxes, customers, and the snapshot of it the stream reads."""
