"""Exports a customer's receipt as JSON-LD by ISO/IEC TS 27560, in the profile of the W3C Data
Privacy Vocabulary (DPV). Normative clauses, with all mandatory members: specs/receipt.md.

consent_receipt   the document, from a receipt, the contracts and facts about the company
processing_record the document of a use on another basis than consent, or of an objection to it
process           what the instruction allows or ends: purpose, items, storage, recipients, rights
proof             what every document states of the receipt it is made from
event             the instruction: which, when, by whom, how, and for how long
party             the controller and other recipients
term              names of the vocabularies, and the categories of data items
"""
