"""What the company counts without knowing who: monthly trends and segments, beside the truth.

The example owns its rows, so it can print how far each figure is from the truth. No company that
honours the gate could.
"""
