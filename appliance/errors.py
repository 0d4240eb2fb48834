"""Every error the box raises on purpose, and how it speaks to the person in front of it.

FieldpostError
├── ConfigError       a setting, or a HOME folder, is not usable
├── AccountError      a person, PIN or session is not as it must be
├── ReleaseError      the installed release is missing or not what it says
├── EngineError       the model cannot answer
│   ├── RequestRefused the request asks for what this model cannot do; another request may be answered
│   │   ├── AdapterError  the adapter is unknown or does not belong to this model
│   │   └── PromptTooLong the question and its passages do not fit the model's context
│   ├── Resting       the model rests, because the box spares its battery, its memory or its processor
│   └── Busy          too many questions wait already
├── Paused            the box takes no questions now, to spare itself
├── LanguageError     no translation between these languages, or the translator failed
├── KnowledgeError    documents cannot be read or searched
├── EvalError         an evaluation set, or a report to compare with, cannot be used
├── LogError          the log cannot be read, written or verified
├── BackupError       a backup cannot be written, read or brought back
├── SyncError         nothing could be exchanged with the hub
│   ├── BatchRefused  a batch is not signed, not whole or not for us
│   ├── UpdateRefused the release that the hub offers is not for this box
│   └── ForkDetected  two histories under one box's name
└── HubError          the hub's own data or settings
"""


class FieldpostError(Exception):
    """What was found, what was needed, what to do next: three short sentences a technician understands."""

    def __init__(self, found: str, *, needed: str = "", todo: str = "") -> None:
        self.found = found
        self.needed = needed
        self.todo = todo
        super().__init__(" ".join(part for part in (found, needed, todo) if part))


class ConfigError(FieldpostError):
    """A setting, or a HOME folder, is not usable."""


class AccountError(FieldpostError):
    """A person, PIN or session is not as it must be."""


class ReleaseError(FieldpostError):
    """The installed release is missing or not what it says."""


class EngineError(FieldpostError):
    """The model cannot answer."""


class RequestRefused(EngineError):
    """The request asks for what this model cannot do; another request may be answered."""


class AdapterError(RequestRefused):
    """The adapter is unknown or does not belong to this model."""


class PromptTooLong(RequestRefused):
    """The question and its passages do not fit the model's context."""


class Resting(EngineError):
    """The model rests, because the box spares its battery, its memory or its processor."""


class Busy(EngineError):
    """Too many questions wait already."""


class Paused(FieldpostError):
    """The box takes no questions now, to spare itself."""


class LanguageError(FieldpostError):
    """No translation between these languages, or the translator failed."""


class KnowledgeError(FieldpostError):
    """Documents cannot be read or searched."""


class EvalError(FieldpostError):
    """An evaluation set, or a report to compare with, cannot be used."""


class LogError(FieldpostError):
    """The log cannot be read, written or verified."""


class BackupError(FieldpostError):
    """A backup cannot be written, read or brought back."""


class SyncError(FieldpostError):
    """Nothing could be exchanged with the hub."""


class BatchRefused(SyncError):
    """A batch is not signed, not whole or not for us."""


class ForkDetected(SyncError):
    """Two histories under one box's name."""


class UpdateRefused(SyncError):
    """The release that the hub offers is not for this box, or does not work on it."""


class HubError(FieldpostError):
    """The hub's own data or settings."""
