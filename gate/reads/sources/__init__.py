"""Where personal rows are read from: one module per engine, all behind `interface.RowSource`."""
