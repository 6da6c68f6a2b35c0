"""frontgate: file-drop front-end exchange server for criminal-justice units."""

__version__ = "0.1.0"
