"""How far raters agree, with intervals."""
