"""One driver a place to run replicas: start, stop, observe, logs."""
