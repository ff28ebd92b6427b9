"""From settings to a loaded model: what there is, whether it fits, where its files are."""
