"""Settings: TOML files, parsed once, never imported below this layer.

Offers: `load_gateway`, `load_hub`, `find_config`, `replace` and the sections themselves. Unknown
keys are errors that name the nearest known one; all faults are told at once, each with its line.
Relative paths count from the settings file's folder. Fails: `SettingsError` FG-CFG.
"""

from frontgate.settings.files import find_config, load_gateway, load_hub
from frontgate.settings.gateway import App, GatewaySettings, UnitSettings
from frontgate.settings.hub import ConsoleSettings, HubDirectory, HubSettings
from frontgate.settings.section import replace

__all__ = [
    "App",
    "ConsoleSettings",
    "GatewaySettings",
    "HubDirectory",
    "HubSettings",
    "UnitSettings",
    "find_config",
    "load_gateway",
    "load_hub",
    "replace",
]
