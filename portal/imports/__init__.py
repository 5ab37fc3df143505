"""Consents that were recorded elsewhere before this log began (M31).

row       one consent as a file tells it, checked against the contracts
csvfile   rows of a CSV file, by a declared mapping
kantara   rows of Kantara Consent Receipts 1.1
take      rows -> instructions of class D, all or none, once for each file
"""
