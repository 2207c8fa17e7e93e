"""What a person sees when a command cannot do its work: one sentence on stderr and a failure code, no traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from cyclopts import CycloptsError
from pydantic import ValidationError

from cli.servers.processes import ServerStartError
from playbooks.common.errors import PlaybooksError
from runtime.keys import KeyRingError
from runtime.settings import MissingSettingError

USAGE = 2


class UsageError(ValueError):
    """The command was called with something it cannot use; its text says with what."""


def explained(command: Callable[[], object]) -> int:
    """The command's exit code; 1 with an explanation for a failure that a person can mend, 2 for a wrong call."""
    try:
        result = command()
    except CycloptsError:
        # The command line's parser has told what is wrong.
        return USAGE
    except UsageError as error:
        return _fail(str(error), USAGE)
    except PlaybooksError as error:
        return _fail(error.detail)
    except ValidationError as error:
        names = [f"PLAYBOOK_{str(each['loc'][0]).upper()}: {each['msg']}" for each in error.errors() if each["loc"]]
        return _fail("; ".join(names) or "the settings are not valid")
    except (ServerStartError, MissingSettingError, KeyRingError, OSError) as error:
        return _fail(str(error))
    return result if isinstance(result, int) else 0


def _fail(text: str, code: int = 1) -> int:
    sys.stderr.write(f"playbook: {text}\n")
    return code
