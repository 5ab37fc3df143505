"""The peers of the synthesiser, each in an environment of its own; see environment.py."""
