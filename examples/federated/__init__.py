"""Sites that give no rows away fit one model together: each hands over noisy counts (M30).

plan          what all sites measure: domain, marginals, privacy loss
measurements  the file that leaves a site, and what is refused of one
combine       one model from the files of several sites

This example uses the synthesiser's public functions, so it stands apart from examples/crm.
"""
