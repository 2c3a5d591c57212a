"""``scontrol``: show and change the cluster."""

from __future__ import annotations

from ..engine import hostlist
from ..engine.options import Option, Parser, Unsupported
from . import change, jobchange, releases, reservations, show, topology
from .context import Context
from .errors import SlurmError

_OPTIONS = (
    Option("all", "a"),
    Option("oneliner", "o"),
    Option("quiet", "Q"),
    Option("verbose", "v"),
)
_KNOWN = "details d cluster clusters M federation F future help h hide local sibling uid u"
# Words that the real one knows and the fake does not.
_KNOWN_WORDS = set(
    """abort cancel_reboot cluster completing errnumstr fsdampeningfactor getaddrs help
    hide license listpids notify oneliner pidinfo power reboot reconfigure resume
    schedloglevel setdebug setdebugflags shutdown suspend takeover token top uhold wait_job
    write""".split()
)
_CHANGES = {
    "update": change.update,
    "create": reservations.create,
    "delete": reservations.delete,
    "requeue": jobchange.requeue,
    "hold": jobchange.hold,
    "release": jobchange.release,
    "requeuehold": jobchange.requeue_hold,
}


def run(context: Context) -> int:
    """Run ``scontrol``; its exit code."""
    options, words = Parser("scontrol", _OPTIONS, _KNOWN).parse(context.words)
    if not words:
        raise Unsupported("scontrol: its interactive mode")
    word, rest = words[0].lower(), words[1:]
    if word == "ping":
        return _ping(context)
    if word == "version":
        context.line(releases.version_line(context.release))
        return 0
    if word == "show":
        return _show(context, rest, options)
    if word in _CHANGES:
        return _CHANGES[word](context, rest)
    if word in _KNOWN_WORDS:
        raise Unsupported(f"scontrol: {word}")
    context.err(f"invalid keyword: {words[0]}")
    return 1


def _ping(context: Context) -> int:
    host = context.description["host"]
    try:
        context.ask("REQUEST_PING")
    except SlurmError:
        stars = "*" * 41
        for line in (
            f"Slurmctld(primary) at {host} is DOWN",
            stars,
            "** RESTORE SLURMCTLD DAEMON TO SERVICE **",
            stars,
        ):
            context.line(line)
        return 1
    context.line(f"Slurmctld(primary) at {host} is UP")
    return 0


def _show(context: Context, words: list[str], options: dict[str, str]) -> int:
    entity = words[0].lower() if words else ""
    name = words[1] if len(words) > 1 else ""
    if "=" in entity:  # 'show node=n1' is the same as 'show node n1'
        entity, _, name = words[0].partition("=")
        entity = entity.lower()
    if not words:
        context.err("too few arguments for keyword:show")
        return 1
    if len(words) > 2:
        context.err("too many arguments for keyword:show")
        return 1
    view = show.View(context, "oneliner" in options, "all" in options)
    for full, least, function in (
        ("nodes", 3, show.nodes),
        ("jobs", 3, show.jobs),
        ("partitions", 3, show.partitions),
        ("reservations", 3, reservations.show),
        ("config", 3, show.config),
        ("topology", 4, topology.show),
    ):
        if (full.startswith(entity) and len(entity) >= least) or entity in (
            full + "name",
            full[:-1] + "name",
            full[:-1] + "id",
        ):
            return function(view, name)
    if entity == "hostnames":
        return _hostnames(context, name)
    if entity in ("hostlist", "hostlistsorted"):
        names = hostlist.split(name)
        if entity == "hostlistsorted":
            names = sorted(set(names), key=hostlist.order)
        context.line(hostlist.fold(names))
        return 0
    if entity in (
        "assoc_mgr",
        "bbstat",
        "burstbuffer",
        "daemons",
        "dwstat",
        "federation",
        "frontend",
        "licenses",
        "slurmd",
        "steps",
        "step",
        "aliases",
    ):
        raise Unsupported(f"scontrol: show {entity}")
    context.err(f"invalid entity:{entity} for keyword:show ")
    return 1


def _hostnames(context: Context, text: str) -> int:
    """Never fails, as the real one: bad parts are complained about, rc 0."""
    text = text or context.environment.get("SLURM_JOB_NODELIST", "")
    if not text:
        context.err("SLURM_JOB_NODELIST environment variable not set")
        return 1
    try:
        for name in hostlist.expand(text, suffixes=context.release >= releases.MODERN):
            context.line(name)
    except hostlist.HostlistError as error:
        context.err(f"scontrol: error: {error}")
        context.err(f"Invalid hostlist: {text}")
    return 0
