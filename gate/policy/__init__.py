"""The organisation's access policy: Cedar, and its compiled form."""
