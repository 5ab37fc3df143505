"""Texts in every language of a company, from catalogues of messages.

catalogue    one language's messages, read from gettext files; what a language lacks
stewardship  words of stewardship in a language that a company adds
locales/     the messages of notices and consent records, one file a language
"""
