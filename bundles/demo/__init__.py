"""The demo bundle: data and the scripts that made it. Nothing on a box imports this package."""
