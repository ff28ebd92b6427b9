"""Settings: from YAML, the settings file and the command line."""
