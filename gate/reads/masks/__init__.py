"""Where personal data stands in a text, by kind. `gate/reads/masking.py` puts them together.

shadow      the text in plain small letters, sign by sign, in which the others look
mail        e-mail addresses
own_values  the customer's own values, in the variants in which people write them
addresses   own addresses and numbers with letters
common_words  names that are words of the language too
spelling    patterns for letters that may be written as two
identifiers numbers that a check proves: accounts, cards, national ids
telephones  telephone numbers
"""
