"""The table of codes, one TOML file a family; read by `frontgate.errors`."""
