"""One file a vendor: discover, meter, and the environment that shows a process its devices."""
