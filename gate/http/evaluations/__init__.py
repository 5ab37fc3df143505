"""AuthZEN evaluations over HTTP: their text, read in pieces, and their routes."""
