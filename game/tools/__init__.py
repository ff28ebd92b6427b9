"""One-shot commands: render, terminal, bench, doctor, profile."""
