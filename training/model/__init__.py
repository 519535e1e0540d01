"""Parts of ``training.module``: network, optimizer, prediction, files saved with the weights."""
