"""What stands behind the doors, put together."""

import os
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from secrets import token_bytes
from typing import Any

import httpx

from imagemill import pico
from imagemill.budget import Budget
from imagemill.catalog import EMBEDDED, Catalog, Defaults
from imagemill.catalog.expansion import expand, expand_by_chat
from imagemill.catalog.models import WEIGHTS
from imagemill.clocks import SteadyClock
from imagemill.dialects import fal, replicate
from imagemill.engine.devices import list_gpus, pinned
from imagemill.engine.engines import Engines
from imagemill.engine.events import Engine
from imagemill.engine.ipc import Options, SafetyOptions
from imagemill.engine.process import EngineProcess, set_aside
from imagemill.engine.watchdog import Timeouts
from imagemill.errors import Fault, invalid
from imagemill.fetch import Fetcher, Policy
from imagemill.files import Cache
from imagemill.files.objects import Objects, open_store
from imagemill.files.room import Room
from imagemill.folders import keep_private
from imagemill.http.hosts import HOSTS
from imagemill.job import Job
from imagemill.jobs.control_files import ControlFiles
from imagemill.jobs.input_files import InputFiles
from imagemill.jobs.ip_adapter_files import AdapterFiles
from imagemill.jobs.job_events import JobEvents
from imagemill.jobs.job_inputs import IMAGE_MEMORY, Expand, InputGatherer
from imagemill.jobs.lifecycle import Lifecycle
from imagemill.jobs.recall import Recall
from imagemill.jobs.repeats import Repeats
from imagemill.jobs.safety_policy import SafetyPolicy
from imagemill.jobs.service import Service
from imagemill.jobs.styles import Styles
from imagemill.jobs.weight_files import CONTROL, IMAGE_ENCODER, IP_ADAPTER, WeightFiles
from imagemill.jobs.worker import Worker
from imagemill.settings import LOOPBACK, Settings
from imagemill.store import Database, Holds, Jobs, at
from imagemill.store.deliveries import DeliveryTable
from imagemill.store.files import FileTable
from imagemill.store.remote_requests import RemoteRequestTable
from imagemill.store.repeats import RepeatTable
from imagemill.store.styles import StyleTable
from imagemill.telemetry import Telemetry
from imagemill.tls import EVERYWHERE
from imagemill.upstream_spec import upstream_of
from imagemill.upstreams import routed
from imagemill.webhooks import Courier, Message, Signer

CHAT_SECONDS = 20.0

# How each dialect words the webhook of a job.
MESSAGES: dict[str, Callable[[Service, Signer, Job, float], Awaitable[Message]]] = {
    fal.DIALECT: fal.message,
    replicate.DIALECT: replicate.message,
}


@dataclass(frozen=True)
class Backend:
    """The service and what it works with, for whoever starts it and for tests."""

    #: The only way in for dialects.
    service: Service
    database: Database
    jobs: Jobs
    objects: Objects
    inputs: InputFiles
    events: JobEvents
    worker: Worker
    lifecycle: Lifecycle
    telemetry: Telemetry
    styles: Styles


def assemble(
    settings: Settings,
    catalog: Catalog,
    telemetry: Telemetry,
    engine: Engine | None = None,
    disk: Budget | None = None,
    jobs: Callable[[Database], Jobs] = Jobs,
    now: Callable[[], float] | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> Backend:
    """The service, not yet open, and what it works with; `engine` paints, a process of its own
    where none is given. disk: the space that inputs have, where others draw on it as well. now:
    what jobs are dated by, if not the clock of all else.
    """
    _make_folder(settings.data_dir)
    devices = () if engine else devices_for(settings, list_gpus(os.environ))
    engine = engine or engine_on(devices, settings, catalog)
    database = Database(settings.database or at(settings.data_dir))
    job_table, table = jobs(database), FileTable(database)
    place = settings.files or str(settings.data_dir / "files")
    clock = SteadyClock()
    painter, leaves = with_upstreams(engine, settings, catalog, telemetry, database, clock)
    room = Room(table, settings.upload_bytes_each, settings.upload_bytes)
    objects = Objects(open_store(place), table, clock, room, settings.upload_age)
    fetcher = Fetcher(Policy(hosts=frozenset(settings.fetch_hosts)))
    loras = WeightFiles(
        settings.data_dir / "loras", settings.lora_bytes, settings.lora_dir, fetcher, clock
    )
    folder, most = settings.data_dir / "controlnets", settings.controlnet_bytes
    own = WeightFiles(folder, most, None, fetcher, clock, CONTROL)
    controls = ControlFiles(settings.controlnets | {EMBEDDED: str(pico.folder("control"))}, own)
    ip_adapters = AdapterFiles(
        settings.ip_adapters,
        *(
            WeightFiles(
                settings.data_dir / name, settings.ip_adapter_bytes, None, fetcher, clock, kind
            )
            for name, kind in (("ip_adapters", IP_ADAPTER), ("image_encoders", IMAGE_ENCODER))
        ),
    )
    disk = disk or Budget(settings.input_disk)
    tokens = partial(table.secrets.secret, "tokens", token_bytes(32))
    incoming, hosts = settings.data_dir / "incoming", _hosts(settings)
    files = InputFiles(objects, fetcher, incoming, disk, tokens, hosts)
    styles = Styles(StyleTable(database), clock, settings.style_age)
    events = JobEvents()
    policy = SafetyPolicy(settings.safety, tuple(settings.safety_terms))

    async def render(id: str) -> Message | None:
        job = await job_table.get(id)
        if job is None or job.submission.dialect not in MESSAGES:
            return None
        # Receivers compare the time with their own: it is that of the wall.
        message = await MESSAGES[job.submission.dialect](
            service, await service.signer(), job, time.time()
        )
        return replace(message, local=job.submission.local)

    async def probe() -> None:
        await database.probe()
        await objects.contents.probe()

    courier = Courier(DeliveryTable(database), render, fetcher.post, clock)
    gatherer = InputGatherer(
        files,
        loras,
        controls,
        ip_adapters,
        styles,
        _expander(settings),
        Budget(IMAGE_MEMORY),
        leaves,
    )
    worker = Worker(
        painter,
        job_table,
        Holds(database),
        objects,
        gatherer,
        events,
        telemetry,
        clock,
        at_once=settings.running * max(1, len(devices)),
        retention=settings.retention,
        secret=partial(table.secrets.secret, "names", token_bytes(32)),
        ended=courier.wake,
        probe=probe,
        settled=lambda: clock.settled,
        policy=policy,
        upstreams={name: spec.in_flight for name, spec in settings.upstreams.items()},
    )
    pictures = settings.data_dir / "pictures"
    cache = Cache(pictures, settings.cache_bytes, settings.cache_age, clock)
    lifecycle = Lifecycle(
        painter, database, objects, fetcher, worker, courier, place.partition("?")[0], monotonic
    )
    service = Service(
        engine=painter,
        recall=Recall(cache, telemetry),
        database=database,
        jobs=job_table,
        objects=objects,
        inputs=files,
        events=events,
        fetcher=fetcher,
        worker=worker,
        lifecycle=lifecycle,
        repeats=Repeats(RepeatTable(database), job_table, clock),
        policy=policy,
        secret=tokens,
        queue=settings.queue,
        wait_time=settings.wait_time,
        now=now or clock,
        monotonic=monotonic,
    )
    return Backend(
        service, database, job_table, objects, files, events, worker, lifecycle, telemetry, styles
    )


def with_upstreams(
    engine: Engine,
    settings: Settings,
    catalog: Catalog,
    telemetry: Telemetry,
    database: Database,
    clock: Callable[[], float],
) -> tuple[Engine, Callable[[str, str], bool]]:
    """Who paints, and whether what paints at an address does by itself what a field asks for: with
    the upstreams of the settings, where there are any.
    """
    if not settings.upstreams:
        return engine, lambda source, field: False
    painter = routed(
        engine,
        settings.upstreams,
        RemoteRequestTable(database),
        telemetry,
        usual=partial(_usual, catalog),
        safety=SafetyOptions(settings.safety_threshold, settings.safety_checker),
        hosts=frozenset(settings.fetch_hosts),
        environment=os.environ,
        clock=clock,
    )
    return painter, painter.leaves


def _usual(catalog: Catalog, model: str) -> Defaults:
    """What a model is painted with; also where a job waits for one that is configured no more."""
    return catalog.find(model).defaults if catalog.serves(model) else WEIGHTS


def _make_folder(folder: Path) -> None:
    try:
        keep_private(folder)
    except OSError as error:
        message = f"the data folder {folder} cannot be used: {error.strerror}"
        raise invalid("data_dir", f"{message}; give another --data-dir") from None


def _hosts(settings: Settings) -> frozenset[str]:
    """Under which files are given out, as far as the settings tell."""
    listening = {settings.host, *LOOPBACK} - {*EVERYWHERE}
    bare = [f"[{name}]" if ":" in name else name for name in listening]
    exact = [name for name in settings.hosts if "*" not in name]
    port = settings.port
    return frozenset([*HOSTS, *exact, *(f"{name}:{port}" for name in [*bare, *exact])])


def devices_for(settings: Settings, gpus: Sequence[str]) -> tuple[str, ...]:
    """What gets an engine each. Empty where one engine has whatever it finds, as where there is one
    GPU. gpus: that were found.
    """
    devices = tuple(settings.devices or gpus)
    return devices if settings.devices or len(devices) > 1 else ()


def engine_on(devices: Sequence[str], settings: Settings, catalog: Catalog) -> Engine:
    """The engine, not yet started. Raises a Fault where a model is to be on another device."""
    first = catalog.find(catalog.default).source
    sources = _painted_here((first, EMBEDDED) if settings.stand_ins else (first,))
    timeouts = Timeouts(step=settings.step_timeout, load=settings.load_timeout)
    options = Options(
        settings.threads or None,
        preload=tuple(sources),
        memory=settings.memory,
        known=tuple(_painted_here(spec.address for spec in settings.models.values())),
        safety=SafetyOptions(settings.safety_threshold, settings.safety_checker),
        matte=settings.matte,
    )
    if not devices:
        return EngineProcess(options, timeouts)
    _check_pins(settings, devices)
    options, killers = replace(options, engines=len(devices)), set_aside()
    each = {
        device: replace(
            options,
            device=device,
            preload=_on(device, devices, sources),
            known=_on(device, devices, options.known),
        )
        for device in devices
    }
    return Engines(
        {device: EngineProcess(own, timeouts, killers=killers) for device, own in each.items()}
    )


def _painted_here(sources: Iterable[str]) -> dict[str, None]:
    """Each once, without what upstreams paint."""
    return {source: None for source in sources if not upstream_of(source)}


def _on(device: str, devices: Sequence[str], sources: Iterable[str]) -> tuple[str, ...]:
    """Which of the models may be on the device, as its engine knows them."""
    there = (pinned(source, devices) for source in sources)
    return tuple(own for allowed, own in there if device in allowed)


def _check_pins(settings: Settings, devices: Sequence[str]) -> None:
    for id, spec in settings.models.items():
        try:
            pinned(spec.address, devices)
        except Fault as fault:
            raise invalid("models", f"{id}: {fault.message}") from None


def _expander(settings: Settings) -> Expand:
    if settings.chat_url:
        chat: Any = partial(
            expand_by_chat,
            url=settings.chat_url,
            key=settings.chat_key,
            model=settings.chat_model or "default",
            post=_ask,
        )
        return chat  # type: ignore[no-any-return]

    async def by_grammar(prompt: str, seed: int) -> str:
        return expand(prompt, seed)

    return by_grammar


async def _ask(url: str, body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    """The reply of the operator's own chat API, wherever that is."""
    async with httpx.AsyncClient(timeout=CHAT_SECONDS) as client:
        reply = await client.post(url, json=body, headers=headers)
        answer: dict[str, Any] = reply.raise_for_status().json()
        return answer
