"""Texts in every language of a company, from catalogues of messages.

catalogue    one language's messages, read from gettext files; what a language lacks
opposites    messages that must not be mistaken for each other
stewardship  words of stewardship in a language that a company adds
locales/     the messages of notices and consent records, one file a language
"""
