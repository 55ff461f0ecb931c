"""One small file per rule. A new file here is a new rule: nothing else has to change."""
