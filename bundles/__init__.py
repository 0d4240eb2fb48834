"""The workstation: from a recipe to a signed bundle on a stick. Importing this package runs nothing."""
