"""Label Studio: the client, and a local server. Its errors end here."""
