"""Metrics in Prometheus' text format, on a port of their own. They name no customer."""
