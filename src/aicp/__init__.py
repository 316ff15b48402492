"""An open AI compute platform: pool accelerators, publish models, govern who calls them."""

__version__ = "0.1.0"
