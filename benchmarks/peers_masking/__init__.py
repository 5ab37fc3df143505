"""Libraries that find personal data in a text, each alone: `python -m benchmarks gate_masking`."""
