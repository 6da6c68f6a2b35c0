"""The drop-box protocol of the spool folders: watch, sweep, claim, read, answer, deliver."""
