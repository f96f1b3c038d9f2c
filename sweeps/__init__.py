"""The search over many trials: space, driver, tracking, selection, the `lnt` command."""
