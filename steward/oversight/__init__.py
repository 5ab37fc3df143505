"""Reviews, holds, explained decisions, manifests, and access by authorities."""
