"""frontgate: file-drop front-end exchange server for criminal-justice units."""
