"""Audits a whole period offline: consent log, map, anchors and read logs together.

    python -m ledger.verify.period DIR --policy CONSENT --policy STATE --from TIME --to TIME

`finding` is what is wrong or could not be read; `consent`, `states`, `reads` and `times` audit the
parts; `report` puts them together, and writes JSON and a page. Standard library and `cryptography`.
"""
