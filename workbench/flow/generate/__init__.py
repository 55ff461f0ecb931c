"""From needs to stored candidates: planned, written by models or by hand, bought once, sieved."""
