"""What the window is made of: one design, its widgets, and the menu's pages."""
