"""Typed Python client of the REST interface and of the interfaces between the platform's processes."""
