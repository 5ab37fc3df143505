"""Imports consents that were recorded elsewhere before this log began (M31).

row        one consent of a file, checked against the contracts
moment     a time, with the precision in which it is written
mapping    what the names in a file mean here, declared in TOML
encoding   the text of a file in UTF-8
foreign    names files of formats that are not imported
csv_file   rows of a CSV file
kantara    rows of Kantara Consent Receipts 1.1
subjects   rows whose customer the source does not know are bad
conflicts  rows that contradict each other, or a bad row, are bad
earlier    what is recorded of a customer before, and which rows it lets in
record     rows -> instructions of class D, all or none, once for each row
summary    what a file contains, in counts

Nothing is guessed: what is not understood makes a row bad, or the file.
"""
