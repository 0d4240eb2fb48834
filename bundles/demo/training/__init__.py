"""How the demo bundle's model, adapter and language pack are made again, from text in this folder, on a CPU."""
