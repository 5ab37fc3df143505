"""The organisation's policy: Cedar, and its compiled form."""
