"""The regulator's pages, without login: checkpoints, keys, contracts, logs, releases."""
