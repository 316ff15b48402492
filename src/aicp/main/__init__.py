"""The composition root: one module a process."""
