"""Starts a company's folder from its tables of customers.

customer_tables   which tables of a source have customers' items
codebook          what a company has written down about columns
labels            titles of items, and texts in every language
starter_scenes    three scenes to edit
starter           the files of the folder
"""
