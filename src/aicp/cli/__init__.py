"""Commands; a client of the REST interface like any other."""
