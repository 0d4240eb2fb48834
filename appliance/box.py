"""A box, put together from its HOME: every room opened and handed to the pipeline.

Which rooms exist and what each needs is known here and nowhere else.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from appliance.caretaker import Caretaker
from appliance.config import Config, Home, load_config
from appliance.counters import Counters
from appliance.engine.absent import NoModel
from appliance.engine.client import WorkerEngine
from appliance.engine.counted import CountedEngine
from appliance.engine.embedding import WorkerEmbedder, open_embedder
from appliance.engine.fallback import FallbackEngine
from appliance.engine.protocol import Engine
from appliance.engine.remote import RemoteEngine
from appliance.engine.settings import Adapter, EngineSettings
from appliance.engine.tempered import TemperedEngine
from appliance.errors import (
    AdapterError,
    ConfigError,
    EngineError,
    FieldpostError,
    KnowledgeError,
    LanguageError,
    ReleaseError,
)
from appliance.exchange import AUTO
from appliance.knowledge.library import Library
from appliance.knowledge.opened import OpenIndex
from appliance.knowledge.retrieve import Retriever
from appliance.knowledge.stores import Store, vector_store
from appliance.language.glossary import Glossary
from appliance.language.translate import Translator
from appliance.log.chain import LEAVES
from appliance.log.store import Log, Recorder
from appliance.metrics import look, vitals
from appliance.pipeline import Pipeline
from appliance.release import Component, Release, load_release, read_revoked
from appliance.safety.filters import load_policy
from appliance.safety.redact import redact
from appliance.safety.whereabouts import NOBODY, Names
from appliance.sync.identity import load_or_make_identity
from appliance.sync.repair import repair_log

WEAK_BELOW = 0.45
"""chrF below which a langpack's translations are flagged as weak: there people mostly cannot rely on a sentence."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """An open box."""

    home: Home
    config: Config
    release: Release
    pipeline: Pipeline
    retriever: Retriever
    log: Recorder
    glossary: Glossary = field(default_factory=Glossary)
    embedder: WorkerEmbedder | None = None
    """Makes vectors of texts; None where the bundle has no model for it."""
    caretaker: Caretaker | None = None
    """Knows how much the box may do now; None on one that is measured."""
    counters: Counters | None = None
    local: TemperedEngine | None = None
    """The box's own model; None where it has none."""
    upstream: FallbackEngine | None = None
    """The site's server and the own model as one; None where the site has none."""
    quoting: str = ""
    """Why documents are quoted and no model is asked, in words; empty where one is."""

    @property
    def mode(self) -> str:
        """How much it may do now: ``normal``, ``saving``, ``low`` or ``pause``."""
        return self.caretaker.standing.mode.name.lower() if self.caretaker is not None else "normal"

    def check(self, *, lang: str, adapter: str | None) -> None:
        """Refuse what this box cannot do before a question waits for it.

        Raises:
            Paused: it takes no questions now.
            LanguageError: the site does not have this language.
            AdapterError: the release has no such adapter, or it was taken back, be it since this box was opened.
        """
        if self.caretaker is not None:
            self.caretaker.check()
        if lang not in (*self.release.languages, AUTO):
            raise LanguageError(
                f"This box does not have the language {lang!r}.",
                needed=f"It has: {', '.join(self.release.languages)}.",
                todo="Choose one of these.",
            )
        if adapter is not None and adapter not in self.release.adapters:
            raise AdapterError(
                f"This box has no adapter {adapter!r}.",
                needed=f"It has: {', '.join(self.release.adapters) or 'none'}.",
                todo="Choose one of these, or none.",
            )
        if adapter is not None:
            target = self.release.adapters[adapter].target
            if reason := read_revoked(self.home).get(target):
                raise AdapterError(
                    f"The adapter {adapter!r} was taken back by your organisation: {reason}.",
                    todo="Ask without it, and install the newest stick.",
                )

    def offered(self, lang: str) -> str:
        """``lang`` if the site has it, else the site's first language."""
        return lang if lang in self.release.languages else self.release.languages[0]


class _Unrecorded:
    """In place of the log, where a box is measured and not used."""

    def append(self, stream: str, body: Mapping[str, object], egress: bool | None = None) -> int:
        return 0


@contextmanager
def open_box(home: Home, *, recorded: bool = True) -> Iterator[Box]:
    """Open the release in ``home`` with its engine, translator, documents and log; close them in the end.

    Args:
        recorded: False to measure a box: nothing is written into its log, nor anywhere else in ``data``.

    Raises:
        ReleaseError: nothing is installed.
        ConfigError: the settings cannot be used.
        EngineError: the model does not load, and there is no document to quote without it.
    """
    config = load_config(home)
    policy = load_policy(home.root)
    release = load_release(home)
    with ExitStack() as opened:
        log: Recorder = _Unrecorded()
        if recorded:
            home.prepare_data()
            if repaired := repair_log(home, LEAVES[config.safety.share]):
                _log.warning("%s", repaired)
            box = load_or_make_identity(home).box
            log = opened.enter_context(Log.open(home.log, box, LEAVES[config.safety.share]))
        embedder = opened.enter_context(release_embedder(config, release))
        if recorded:
            # A full disk must not keep a box from starting; fieldpost documents tells what is wrong.
            with suppress(KnowledgeError):
                Library(home.documents, lang=release.documents_lang, embedder=embedder).refresh()
        knowledge = config.knowledge
        graphs = home.graphs if recorded else None
        store = vector_store(knowledge.vectors, milvus=knowledge.milvus, folder=graphs)
        retriever = opened.enter_context(_retriever(home, release, embedder, store))
        glossary = Glossary.read(glossaries(release))
        translator = opened.enter_context(Translator(_packs(release), glossary=glossary, weak=_weak(release)))
        own = _engine(home, config, release, opened, recorded=recorded, documents=not retriever.empty)
        local = own if isinstance(own, TemperedEngine) else None
        upstream = _with_upstream(own, config, policy.names, opened) if config.answer.mode != "extractive" else None
        caretaker = _caretaker(local, config, opened) if recorded else None
        counters = Counters(partial(_moment, home, caretaker, local, upstream))
        engine: Engine = upstream or own
        pipeline = Pipeline(
            engine=CountedEngine(engine, counters.note),
            finder=retriever,
            translator=translator,
            log=log,
            config=config,
            working_lang=release.documents_lang,
            documents=lambda: not retriever.empty,  # some may be added while the box is open
            languages=release.languages,
            policy=policy,
            extractive=isinstance(engine, NoModel),
        )
        yield Box(
            home=home,
            config=config,
            release=release,
            pipeline=pipeline,
            retriever=retriever,
            log=log,
            glossary=glossary,
            embedder=embedder,
            caretaker=caretaker,
            counters=counters,
            local=local,
            upstream=upstream,
            quoting=engine.reason if isinstance(engine, NoModel) else "",
        )


def release_embedder(config: Config, release: Release) -> AbstractContextManager[WorkerEmbedder | None]:
    """The release's embedding model, started with the first text; None where it has none."""
    component = release.embedder
    return open_embedder(
        component.weights if component else None,
        digest=_digest(component, component.weights) if component else "",
        threads=config.engine.threads,
    )


def _retriever(home: Home, release: Release, embedder: WorkerEmbedder | None, store: Store) -> Retriever:
    """All documents of the box, to be searched."""
    return Retriever(
        [component.only("index.sqlite") for component in release.of("docpack")],
        added=Library(home.documents, lang=release.documents_lang).index,
        embedder=embedder,
        store=store,
    )


def documents_of(home: Home, config: Config, release: Release) -> tuple[int, list[str]]:
    """How many passages the box's documents have, and what cannot be searched as it should; no model is started."""
    try:
        with (
            release_embedder(config, release) as embedder,
            _retriever(home, release, embedder, OpenIndex.vectors) as retriever,
        ):
            return retriever.passages, retriever.problems
    except FieldpostError as error:
        return 0, [error.found]


def _engine(
    home: Home, config: Config, release: Release, opened: ExitStack, *, recorded: bool, documents: bool
) -> TemperedEngine | NoModel:
    """The model; or, where the site wants none or it does not load and there are documents to quote, none.

    Raises:
        ReleaseError: the site wants a model, and the release has none.
        EngineError: the site wants a model, and it does not load.
    """
    if config.answer.mode == "extractive":
        return NoModel("its settings say so.")
    try:
        weights = release.model.weights
        free, needed = look(home.root).memory_available, weights.stat().st_size
        if config.answer.mode == "auto" and documents and free < needed:
            return NoModel(f"the model needs {needed >> 20} MB of memory, and {free >> 20} MB are free.")
        main = opened.enter_context(_worker(home, config, release, release.model, _adapters(release), recorded))
        smaller = release.smaller
        small = _worker(home, config, release, smaller, {}, recorded) if smaller else None
        tempered = TemperedEngine(main, small)
        opened.callback(tempered.close)
        return tempered
    except (EngineError, ReleaseError) as error:
        if config.answer.mode != "auto" or not documents:
            raise
        return NoModel(error.found)


def _worker(
    home: Home, config: Config, release: Release, model: Component, adapters: Mapping[str, Adapter], recorded: bool
) -> WorkerEngine:
    return WorkerEngine(
        model.weights,
        adapters=adapters,
        context=config.engine.context,
        threads=config.engine.threads,
        name=f"{model.name} {model.version}",
        settings=EngineSettings(
            slots=config.engine.slots,
            gpu=config.engine.gpu or "auto",
            memory_mb=config.engine.memory_mb,
            cache_mb=config.engine.cache_mb,
            adapter_mb=config.engine.adapter_mb,
            folder=home.engine_cache if recorded else None,
            digest=_digest(model, model.weights),
        ),
    )


def _caretaker(local: TemperedEngine | None, config: Config, opened: ExitStack) -> Caretaker:
    told = config.power.battery_file
    seen = partial(vitals, Path(told) if told else None)
    return opened.enter_context(Caretaker(local, power=config.power, limits=config.engine, look=seen))


def _moment(
    home: Home, caretaker: Caretaker | None, local: TemperedEngine | None, upstream: FallbackEngine | None
) -> Mapping[str, float | None]:
    """Figures of the moment for ``/metrics``; None is what nobody knows."""
    machine, seen = look(home.root), caretaker.seen if caretaker else None
    return {
        "mode": float(caretaker.standing.mode) if caretaker else None,
        "battery_percent": seen.battery if seen else None,
        "celsius": seen.celsius if seen else None,
        "memory_pressure_percent": seen.memory_pressure if seen else None,
        "memory_available_bytes": float(machine.memory_available),
        "disk_free_bytes": float(machine.disk_free),
        "load_1min": machine.load_1min,
        "model_loaded": float(local.main.pid is not None) if local else None,
        "model_deaths": float(local.main.restarts) if local else None,
        "upstream_answers": float(not upstream.away) if upstream else None,
    }


def upstream_of(config: Config, names: Names = NOBODY) -> RemoteEngine | None:
    """The site's server; None where the settings name none.

    Raises:
        ConfigError: what they say of it is not enough, or its key cannot be read.
    """
    site = config.upstream
    if not site.url:
        return None
    if not site.model:
        raise ConfigError(
            "[upstream] url is set and model is not.", needed="The server's name for its model is needed."
        )
    return RemoteEngine(
        site.url,
        model=site.model,
        key=_first_line(Path(site.key_file)) if site.key_file else "",
        adapters=dict(pair.split("=", 1) for pair in site.adapters),
        redact=lambda text: redact(text, config.safety.phone_regions, names).text,
    )


def _with_upstream(local: Engine, config: Config, names: Names, opened: ExitStack) -> FallbackEngine | None:
    """The site's server in front of the box's own model, where the site has one."""
    server = upstream_of(config, names)
    if server is None:
        return None
    opened.callback(server.close)
    return FallbackEngine(server, local)


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").splitlines()[0].strip()
    except (OSError, UnicodeDecodeError, IndexError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}.", needed="[upstream] key_file names a file with a key."
        ) from error


def _adapters(release: Release) -> dict[str, Adapter]:
    """Each adapter with the digest of its file and of the model it was made for."""
    found = {}
    for name, component in release.adapters.items():
        path = component.only(".gguf")
        base = component.annotations.get("org.fieldpost.base", "")
        found[name] = Adapter(path=path, digest=_digest(component, path), base=base)
    return found


def _digest(component: Component, path: Path) -> str:
    return component.files[path.relative_to(component.folder).as_posix()]


def glossaries(release: Release) -> list[Path]:
    """The glossaries of all installed langpacks."""
    return [c.folder / name for c in release.of("langpack") for name in c.files if name.endswith(".csv")]


def _weak(release: Release) -> set[tuple[str, str]]:
    """Pairs whose makers measured them and found them weak: ``en>sw:0.41``, chrF from 0 to 1, in the annotation."""
    weak = set()
    for component in release.of("langpack"):
        for entry in filter(None, component.annotations.get("org.fieldpost.quality", "").split(",")):
            pair, _, quality = entry.partition(":")
            source, _, target = pair.partition(">")
            try:
                if float(quality) < WEAK_BELOW:
                    weak.add((source, target))
            except ValueError:
                weak.add((source, target))  # what cannot be read was not measured well
    return weak


def _packs(release: Release) -> dict[tuple[str, str], Path]:
    """Where each unpacked Argos package lies, by (source, target): ``argos/en_sw/`` in its langpack."""
    packs = {}
    for component in release.of("langpack"):
        for source, target in component.pairs:
            packs[source, target] = component.folder / "argos" / f"{source}_{target}"
    return packs
