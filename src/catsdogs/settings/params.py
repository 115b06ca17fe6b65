"""Rules that stand in `params.yaml`, where a command is run beside one: below flags and environment, above defaults."""

from pathlib import Path
from typing import Any, ClassVar

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from catsdogs.errors import UsageError
from catsdogs.settings.base import Settings

FILE_NAME = "params.yaml"


class Ruled(Settings):
    """Settings of a command whose `section` of params.yaml counts without being passed as flags."""

    section: ClassVar[str]

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _Params(settings_cls, cls.section)


class _Params(PydanticBaseSettingsSource):
    def __init__(self, settings_cls: type[BaseSettings], section: str) -> None:
        super().__init__(settings_cls)
        self._section = section

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False  # the whole section is read at once, below

    def __call__(self) -> dict[str, Any]:
        """Raises UsageError for a file that cannot be read, or a rule that there is not: a typo would be no rule."""
        try:
            text = Path(FILE_NAME).read_text()
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise UsageError(f"{FILE_NAME} cannot be read ({error}).") from None
        import yaml

        try:
            section = (yaml.safe_load(text) or {}).get(self._section) or {}
            unknown = set(section) - set(self.settings_cls.model_fields)
        except (yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
            raise UsageError(f"{FILE_NAME} is no YAML of sections ({str(error).splitlines()[0]}).") from None
        if unknown:
            raise UsageError(f"{FILE_NAME} has no such rule under `{self._section}`: {sorted(map(str, unknown))[0]}.")
        return dict(section)
