"""A regulator draws read-log entries that the company could not foresee, and has them opened.

`challenge` draws, `population` says from which entries, `openings` is the company's answer, and
`check` compares it with what is published. specs/audit.md, Q9 to Q15.
"""
