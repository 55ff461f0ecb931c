"""People in the loop: what is put to them in Label Studio, what comes back, and what it says."""
