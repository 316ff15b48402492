"""Tables, queries, migrations, leases and metric samples: the only SQL."""
