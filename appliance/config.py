"""HOME, its folders, and the site's settings. Nothing here opens anything but ``config.toml``.

HOME/
  config.toml      the site's settings; optional, every key has a default
  current          -> releases/N, switched by the installer
  releases/N/      release.json and the files of its components, read-only
  blobs/ staging/ trust/ state.json lock    the installer's
  data/            the box's own: log, keys, outbox, sockets; mode 0700
"""

import math
import os
import re
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from appliance.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """``[engine]``: how the model is run."""

    context: int = field(default=2048, metadata={"least": 128})
    """Tokens a question, its passages and its answer may use together; never more than the model was trained on."""
    threads: int = field(default=0, metadata={"least": 0})
    """0 means one a core."""
    max_tokens: int = field(default=256, metadata={"least": 8})
    """Tokens an answer may have."""
    gpu: str = field(default="auto", metadata={"pattern": r"auto|off|\d{1,3}", "such": "auto"})
    """Layers for a graphics card, where the installed llama.cpp can use one: as many as fit, none, or so many."""
    slots: int = field(default=8, metadata={"least": 1})
    """Questions answered at once; more wait their turn."""
    memory_mb: int = field(default=0, metadata={"least": 0})
    """Megabytes for what is being read and written, besides the model; 0 is a quarter of the machine's memory."""
    cache_mb: int = field(default=256, metadata={"least": 0})
    """Megabytes, in memory and again on disk, for instructions and passages that were read before; 0 keeps none."""
    adapter_mb: int = field(default=512, metadata={"least": 0})
    """Megabytes for adapters in memory; a single one may be greater."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamConfig:
    """``[upstream]``: a stronger server on the site's network, asked first; without it the box's own model answers."""

    url: str = field(default="", metadata={"pattern": r"https?://[^\s/]+(/\S*)?", "such": "http://10.0.0.5:8000/v1"})
    """Up to and with ``/v1``; empty means there is none. Every text is redacted before it goes there."""
    model: str = field(default="", metadata={"pattern": r"\S+", "such": "Qwen/Qwen3-8B"})
    """The server's name for its model."""
    key_file: str = field(default="", metadata={"pattern": r"/.+", "such": "/etc/fieldpost/upstream-key"})
    """A file whose first line is the key it wants; empty means it wants none."""
    adapters: tuple[str, ...] = field(default=(), metadata={"pattern": r"[^=\s]+=\S+", "such": "steps=site-steps"})
    """Our adapters and the server's names for the same. One that is not named here is answered by the box itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerConfig:
    """``[power]``: when the box spares itself: answers shorter and fewer at once, then without its model or with a
    smaller one, then not at all. 0 switches a threshold off."""

    battery_saving: int = field(default=50, metadata={"least": 0})
    """Percent of charge below which it spares itself, as long as the battery is not being charged."""
    battery_low: int = field(default=25, metadata={"least": 0})
    battery_pause: int = field(default=8, metadata={"least": 0})
    battery_file: str = field(default="", metadata={"pattern": r"/.+", "such": "/run/solar/battery"})
    """A file that a charge controller's program writes: ``73`` or ``73 charging``; empty means the machine's own."""
    celsius_saving: int = field(default=80, metadata={"least": 0})
    """Of the hottest sensor of the processor."""
    celsius_low: int = field(default=88, metadata={"least": 0})
    celsius_pause: int = field(default=95, metadata={"least": 0})
    memory_saving: int = field(default=10, metadata={"least": 0})
    """Percent of the last ten seconds in which a program waited for memory (``/proc/pressure/memory``)."""
    memory_low: int = field(default=25, metadata={"least": 0})
    memory_pause: int = field(default=60, metadata={"least": 0})
    unload_after_s: int = field(default=0, metadata={"least": 0})
    """Seconds without a question after which the model gives its memory back; 0 keeps it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostConfig:
    """``[cost]``: what ``fieldpost bench`` reckons with. Any one currency; 0 means that nobody knows."""

    currency: str = field(default="USD", metadata={"pattern": r"\S{1,8}", "such": "KES"})
    watts: float = field(default=0.0, metadata={"least": 0})
    """What the box draws while it answers, where the machine does not measure it itself."""
    watts_idle: float = field(default=0.0, metadata={"least": 0})
    """What it draws while nobody asks."""
    hours: float = field(default=24.0, metadata={"least": 0})
    """Hours a day that it is switched on."""
    grid: float = field(default=0.0, metadata={"least": 0})
    """A kilowatt hour from the grid."""
    solar: float = field(default=0.0, metadata={"least": 0})
    """A kilowatt hour from panels and battery: their price, spread over what they give in their life."""
    generator: float = field(default=0.0, metadata={"least": 0})
    """A kilowatt hour from a generator: fuel, oil and wear."""
    hardware: float = field(default=0.0, metadata={"least": 0})
    """The box, its access point and its cables."""
    storage: float = field(default=0.0, metadata={"least": 0})
    """Disks and sticks."""
    years: float = field(default=4.0, metadata={"least": 0.1})
    """For which hardware and storage last."""
    operations: float = field(default=0.0, metadata={"least": 0})
    """Hours a month that somebody looks after it."""
    wage: float = field(default=0.0, metadata={"least": 0})
    """Of one such hour."""
    questions: int = field(default=200, metadata={"least": 1})
    """That are asked in a day."""
    api_input: float = field(default=0.0, metadata={"least": 0})
    """A paid API's price for a million tokens that it reads."""
    api_output: float = field(default=0.0, metadata={"least": 0})
    """And for a million that it writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeConfig:
    """``[knowledge]``: how passages are found, and how many go into a prompt."""

    passages: int = field(default=3, metadata={"least": 1})
    vectors: str = field(default="auto", metadata={"choices": ("auto", "numpy", "sqlite-vec", "faiss", "milvus")})
    """Where vectors are searched: numpy in memory, sqlite-vec where that would take too much of it (auto); or one."""
    milvus: str = field(default="", metadata={"pattern": r"/.+|https?://[^\s/]+/?", "such": "http://10.0.0.5:19530"})
    """For ``vectors = "milvus"``: a cluster's address, or a file's path for milvus-lite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerConfig:
    """``[answer]``: who answers."""

    mode: str = field(default="auto", metadata={"choices": ("auto", "model", "extractive")})
    """The model alone; extractive, quoting the documents without a model; or auto, the model as long as it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyConfig:
    """``[safety]``: what is taken out before anything is stored."""

    phone_regions: tuple[str, ...] = field(default=("KE", "TZ", "UG"), metadata={"pattern": "[A-Z]{2}", "such": "KE"})
    """ISO 3166 regions whose national telephone number formats are recognised, besides the international one."""
    share: str = field(default="text", metadata={"choices": ("text", "metrics", "nothing")})
    """What the site's people agreed may ever leave the box, redacted: what they write too, only figures, or nothing. A
    record keeps what held when it was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncConfig:
    """``[sync]``: when a serving box looks for its hub. The hub itself is known from the enrolment."""

    every_s: int = field(default=60, metadata={"least": 0})
    """Seconds between two tries while serving. 0 means only ``fieldpost sync run``."""
    quiet: str = field(
        default="", metadata={"pattern": r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d", "such": "07:00-18:30"}
    )
    """Hours, in the box's own time, in which only safety events use the link; empty for none."""
    up_mb: int = field(default=0, metadata={"least": 0})
    """Megabytes of the log a day that may go over a link; 0 means no bound. Safety events go beyond it."""
    metered_mb: int = field(default=5, metadata={"least": 0})
    """The same for a link that is paid by the byte; no release comes over such a link."""
    updates: str = field(default="install", metadata={"choices": ("install", "fetch", "never")})
    """What the hub may do with releases: have them installed, only fetched, or neither."""
    down_mb: int = field(default=50, metadata={"least": 0})
    """Megabytes of releases a day that may come over the link. 0 means no bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The site's settings."""

    engine: EngineConfig = field(default_factory=EngineConfig)
    upstream: UpstreamConfig = field(default_factory=UpstreamConfig)
    power: PowerConfig = field(default_factory=PowerConfig)
    cost: CostConfig = field(default_factory=CostConfig)
    knowledge: KnowledgeConfig = field(default_factory=KnowledgeConfig)
    answer: AnswerConfig = field(default_factory=AnswerConfig)
    safety: SafetyConfig = field(default_factory=SafetyConfig)
    sync: SyncConfig = field(default_factory=SyncConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where things lie on a box."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def log(self) -> Path:
        return self.data / "log.sqlite"

    @property
    def outbox(self) -> Path:
        """Sealed batches that the hub has not acknowledged."""
        return self.data / "outbox"

    @property
    def documents(self) -> Path:
        """Documents that were added on this box."""
        return self.data / "documents"

    @property
    def identity(self) -> Path:
        """The box's own private key; made on first use, never copied to a stick."""
        return self.data / "identity.json"

    @property
    def enrolment(self) -> Path:
        """Which hub this box belongs to."""
        return self.data / "enrolment.json"

    @property
    def graphs(self) -> Path:
        """Graphs of vectors that FAISS has built; can be built anew."""
        return self.data / "faiss"

    @property
    def engine_cache(self) -> Path:
        """What the engine may keep over a restart: measurements, and states of what is nobody's own."""
        return self.data / "engine"

    @property
    def api_keys(self) -> Path:
        """Who may use the API: names and hashes."""
        return self.data / "api-keys.json"

    @property
    def certificates(self) -> Path:
        """The site's own certificate authority, and the box's certificate."""
        return self.data / "certificates"

    @property
    def accounts(self) -> Path:
        """The site's people, their sessions and history."""
        return self.data / "accounts.sqlite"

    @property
    def current(self) -> Path:
        return self.root / "current"

    @property
    def revoked(self) -> Path:
        """What the NGO has taken back; the installer writes it."""
        return self.root / "revoked.json"

    def prepare_data(self) -> None:
        """Make ``data/`` and ``data/outbox/`` readable by the box's user only.

        Raises:
            ConfigError: HOME is not there, or this user may not write in it.
        """
        try:
            self.data.mkdir(mode=0o700, exist_ok=True)
            self.outbox.mkdir(mode=0o700, exist_ok=True)
        except FileNotFoundError as error:
            raise ConfigError(
                f"There is no folder {self.root}.", todo="Name the folder that was installed to."
            ) from error
        except PermissionError as error:
            raise self._foreign() from error
        except OSError as error:
            raise ConfigError(f"{self.data} cannot be made: {error.strerror}.", todo="Check the disk.") from error
        if not os.access(self.data, os.R_OK | os.W_OK | os.X_OK):
            raise self._foreign()

    def _foreign(self) -> ConfigError:
        return ConfigError(
            f"{self.data} belongs to another user.",
            needed="One user runs everything of a box.",
            todo=f"Run this as that user or with sudo; or, before the first start: sudo chown $USER {self.root}",
        )


def load_config(home: Home) -> Config:
    """Read ``HOME/config.toml``; a missing file means all defaults.

    Raises:
        ConfigError: the file is not TOML, or holds an unknown key or a value of the wrong kind or range.
    """
    path = home.root / "config.toml"
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Config()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", todo="Check its owner and mode.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not readable as TOML: {error}.", todo="Mend that line.") from error
    tables = {f.name: f.default_factory for f in fields(Config)}
    _refuse_unknown(raw, set(tables), str(path))
    return Config(**{name: _table(type(tables[name]()), raw.get(name, {}), f"{path} [{name}]") for name in tables})  # type: ignore[operator]


def _table(kind: type[T], raw: Any, where: str) -> T:
    if not isinstance(raw, dict):
        raise ConfigError(f"{where} is {type(raw).__name__}.", needed="A table is needed.")
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    _refuse_unknown(raw, set(known), where)
    default = kind()
    values: dict[str, Any] = {}
    for name, value in raw.items():
        wanted, rules = getattr(default, name), known[name].metadata
        if isinstance(wanted, tuple):
            if not isinstance(value, list) or not all(_fits(one, rules["pattern"]) for one in value):
                raise ConfigError(
                    f"{where} {name} is {value!r}.", needed=f'A list such as ["{rules["such"]}"] is needed.'
                )
            values[name] = tuple(value)
        elif "choices" in rules:
            if value not in rules["choices"]:
                choices = ", ".join(f'"{choice}"' for choice in rules["choices"])
                raise ConfigError(f"{where} {name} is {value!r}.", needed=f"One of these is needed: {choices}.")
            values[name] = value
        elif isinstance(wanted, str):
            if value != "" and not _fits(value, rules["pattern"]):
                such = rules["such"]
                raise ConfigError(f"{where} {name} is {value!r}.", needed=f'One such as "{such}" is needed.')
            values[name] = value
        else:
            fraction = isinstance(wanted, float)
            number = isinstance(value, int | float if fraction else int) and not isinstance(value, bool)
            if not number or not rules["least"] <= value < math.inf:
                kind_of = "number" if fraction else "whole number"
                raise ConfigError(
                    f"{where} {name} is {value!r}.", needed=f"A {kind_of} from {rules['least']} is needed."
                )
            values[name] = type(wanted)(value)
    return kind(**values)


def _fits(value: object, pattern: str) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _refuse_unknown(raw: dict[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(raw) - known)
    if unknown:
        raise ConfigError(
            f"{where} has unknown keys: {', '.join(unknown)}.",
            needed=f"Known are: {', '.join(sorted(known))}.",
            todo="Remove or correct them.",
        )
