"""Imports consents that were recorded elsewhere before this log began (M31).

row        one consent of a file, checked against the contracts
csv_file   rows of a CSV file, by a declared mapping
kantara    rows of Kantara Consent Receipts 1.1
record     rows -> instructions of class D, all or none, once for each file
"""
