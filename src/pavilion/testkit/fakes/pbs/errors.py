"""What the commands of PBS say when something is wrong, and their exit codes."""

from __future__ import annotations


class PbsError(Exception):
    """A failure, with the exit code of the command."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.text = text
        self.code = code


UNKNOWN_JOB, FINISHED, DENIED, UNKNOWN_QUEUE = 153, 35, 159, 170
NO_CONTACT = "Connection refused"
# Exit codes of commands that find no server.
NO_CONTACT_CODES = {"qstat": 255, "pbsnodes": 1}
NO_HISTORY = "PBS is not configured to maintain job history"

_USAGES = {
    "qsub": """usage: qsub [-a date_time] [-A account_string] [-c interval]
	[-C directive_prefix] [-e path] [-f ] [-h ] [-I [-X]] [-j oe|eo] [-J X-Y[:Z]]
	[-k keep] [-l resource_list] [-m mail_options] [-M user_list]
	[-N jobname] [-o path] [-p priority] [-P project] [-q queue] [-r y|n]
	[-R o|e|oe] [-S path] [-u user_list] [-W otherattributes=value...]
	[-v variable_list] [-V ] [-z] [script | -- command [arg1 ...]]
       qsub --version
""",
    "qstat": "usage: \n"
    "qstat [-f] [-J] [-p] [-t] [-x] [-E] [-F format | -w] [-D delim] "
    """[ job_identifier... | destination... ]
qstat [-a|-i|-r|-H|-T] [-J] [-t] [-u user] [-n] [-s] [-G|-M] [-1] [-w]
	[ job_identifier... | destination... ]
qstat -Q [-f] [-F format] [-D delim] [ destination... ]
qstat -q [-G|-M] [ destination... ]
qstat -B [-f] [-F format] [-D delim] [ server_name... ]
qstat --version
""",
    "qselect": """usage: qselect [-a [op]date_time] [-A account_string] [-c [op]interval]
	[-h hold_list] [-H] [-J] [-l resource_list] [-N name] [-p [op]priority]
	[-q destination] [-r y|n] [-s states] [-t subopt[op]date_time] [-T] [-P project_name]
	[-x] [-u user_name]
       qselect --version
""",
    "qdel": """usage:
	qdel [-W force|suppress_email=X] [-x] job_identifier...
	qdel --version
""",
    "pbsnodes": """usage:	pbsnodes [-{o|r}][-C comment][-s server] host host ...
	pbsnodes -l [-s server]
	pbsnodes [-s server] -v vnode vnode ...
	pbsnodes -a[v][S[j][L]][-F format][-D delim][-s server]
	pbsnodes -[H][S[j][L]][-F format][-D delim] host host ...
	pbsnodes --version

""",
    "qhold": "usage: qhold [-h hold_list] job_identifier...\n       qhold --version\n",
    "qrls": "usage: qrls [-h hold_list] job_identifier...\n       qrls --version\n",
}


def usage(command: str, problem: str) -> PbsError:
    """A command line that is refused, with the usage of the command."""
    text = "\n".join(filter(None, (problem, _USAGES[command]))).rstrip("\n")
    return PbsError(text, 1 if command == "pbsnodes" else 2)
