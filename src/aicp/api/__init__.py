"""REST for people and the console: parse, authorise, call control, render."""
