"""Explains a failed command in one sentence on stderr, with an exit code and without a traceback."""

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
    """The command was called with something that it cannot use; the text names it."""


def explained(command: Callable[[], object]) -> int:
    """Return the command's exit code; 1 for a failure that a person can correct, 2 for a wrong call."""
    try:
        result = command()
    except CycloptsError:
        # The command line's parser has printed the reason.
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
