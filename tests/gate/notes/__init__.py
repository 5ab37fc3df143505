"""Labelled notes of customer service in Chinese, English, German and Spanish, made from a seed.

What the masker of free text is measured by (G29). Written from the public documentation of the
formats, before its author had read the masker:

- telephone numbers: ITU-T E.123 and E.164, RFC 3966, the national numbering plans of China (MIIT),
  Britain (Ofcom), North America (NANPA), Germany (BNetzA, DIN 5008) and Spain (CNMC);
- e-mail addresses: RFC 5321, 5322, 6531, 6068. Spoken forms ("ada at mail dot example") are out
  of scope, and no note has one;
- bank accounts: the IBAN registry (ISO 13616); payment cards: ISO/IEC 7812 and the networks'
  published ranges;
- national ids: GB 11643 (China), the DNI and NIE (Spain's interior ministry), the
  Steuer-Identifikationsnummer (BZSt), the NHS number (NHS data dictionary), and, with no checksum,
  the social security number of the USA and the National Insurance number of Britain;
- the customer's own values, as people write them.

    identifiers   accounts, cards and national ids, with the check digits computed here
    telephones    numbers by country and how they are written
    people        customers, and the variants in which notes name them
    addresses     e-mail addresses
    sentences     what notes say, in four languages
    distractors   figures that must stay
    note          the notes, with their labels
    measure       which labels a masker found, and what it masked beside them
"""
