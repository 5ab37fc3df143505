"""A churn model (M7, M14): trained on a manifest's customers, its accuracy a signed signal.

model     a logistic regression over the fields of the scene, stored as its weights
runs      training, evaluation, and the report to the gate
report    a signal as a C2SP signed note
"""
