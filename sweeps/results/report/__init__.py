"""Reports of a sweep: an HTML page, Markdown, or a LaTeX table."""
