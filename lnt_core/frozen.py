"""The base class of all configs."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Frozen(BaseModel):
    """Immutable model that rejects unknown keys, NaN, and booleans where none is expected."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_bool_for_number(cls, values: Any) -> Any:
        for name, field in cls.model_fields.items() if isinstance(values, dict) else ():
            value = values.get(name)
            if isinstance(value, bool) and not _takes_bool(field.annotation):
                raise ValueError(f"`{name}` is {str(value).lower()}, but must not be a boolean")
        return values


def _takes_bool(annotation: Any) -> bool:
    return bool in getattr(annotation, "__args__", (annotation,))
