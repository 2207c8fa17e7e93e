"""What a person sees when a command cannot do its work: one sentence on stderr and a failure code, no traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from pydantic import ValidationError

from cli.servers.processes import ServerStartError
from playbooks.errors import PlaybooksError
from runtime.keys import KeyRingError
from runtime.settings import MissingSettingError


def explained(command: Callable[[], object]) -> int:
    """The command's exit code; 1 with an explanation for a failure that a person can mend."""
    try:
        result = command()
    except PlaybooksError as error:
        return _fail(error.detail)
    except ValidationError as error:
        names = [f"PLAYBOOK_{str(each['loc'][0]).upper()}: {each['msg']}" for each in error.errors() if each["loc"]]
        return _fail("; ".join(names) or "the settings are not valid")
    except (ServerStartError, MissingSettingError, KeyRingError, OSError) as error:
        return _fail(str(error))
    return result if isinstance(result, int) else 0


def _fail(text: str) -> int:
    sys.stderr.write(f"playbook: {text}\n")
    return 1
