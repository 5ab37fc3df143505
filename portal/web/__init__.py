"""Pages: templates, languages, security headers, problem details (RFC 9457)."""
