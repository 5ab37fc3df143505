"""Commands about synthetic releases."""
