"""What a regulator needs, without a login: checkpoints, keys, contracts, the logs themselves."""
