"""Pages: templates, languages, security headers, problems."""
