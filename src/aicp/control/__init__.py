"""Use cases: validate intent, write desired state, answer queries."""
