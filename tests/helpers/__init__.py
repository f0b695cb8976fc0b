"""What several tests share: how to run the command, real tokenizers, run folders, servers, miniatures."""
