"""A customer's receipt in the field's own words: JSON-LD by ISO/IEC TS 27560 in the profile of the
W3C Data Privacy Vocabulary. The law, with all that is mandatory: specs/receipt.md.

consent_receipt   the document: from a receipt, the contracts, and what the company says of itself
process           what the instruction allows or ends: purpose, items, storage, recipients, rights
event             what was said, when, by whom, how, and for how long
party             who is responsible, and who else receives
term              names of the vocabularies, and the categories of our items
"""
