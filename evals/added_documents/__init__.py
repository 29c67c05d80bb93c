"""What a rule does that removes cached answers when documents are added: how many of those they change, and others."""
