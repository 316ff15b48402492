"""Keys, tokens, passwords and the checks of addresses that the platform may fetch from."""
