"""Sources of personal rows: one module per engine, all behind `interface.RowSource`."""
