"""Texts in every language of a company, from catalogues of messages.

catalogue    one language's messages, read from gettext files; what a language lacks
locales/     the messages of notices and consent records, one file a language
"""
