"""What pages are made of: widgets, painting, background jobs. Knows no world."""
