"""The errors and warnings of levelhead: each says what was asked, what was found, and what to do."""

from __future__ import annotations


class LevelheadError(Exception):
    """Root of every error that levelhead raises on purpose."""


class SiteError(LevelheadError, ValueError):
    """An address that is malformed, or that the model at hand does not have."""


class EditError(LevelheadError, ValueError):
    """An edit whose numbers cannot be applied: a wrong width, a non-finite entry, a foreign basis."""


class InputError(LevelheadError, ValueError):
    """Inputs, labels or groups that cannot be used as they are."""


class FileError(LevelheadError, ValueError):
    """A steer on disk that is damaged, foreign, or cannot be written."""


class AdapterError(LevelheadError, TypeError):
    """A model for which no adapter is installed, or which an adapter cannot carry."""


class NotFittedError(LevelheadError, ValueError, AttributeError):
    """A result was asked of an estimator before `fit`."""


class UntouchedSteerWarning(UserWarning):
    """A steer was on, and no forward pass wrote at some of its sites."""


class FallbackWarning(UserWarning):
    """Something that was asked for could not be done as asked, and a stated substitute was used."""
