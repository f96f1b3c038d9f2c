"""What a sweep found, for people to read: a page, Markdown, a LaTeX table."""
