"""Identity: a database and its store of files know each other, by an id that both keep.

Two servers on one database that each had a folder of their own would give half of the files; a
database that was made anew beside the files of another would forget them all.
"""

from secrets import token_hex

from imagemill.errors import Fault, Kind
from imagemill.files.contents import Contents
from imagemill.store.opening import telling_of_files
from imagemill.store.secrets import SecretTable

MARK = "imagemill-files"  # the object that holds the id
SECRET = "files"  # the name under which the database has it


async def settle(contents: Contents, secrets: SecretTable, place: str) -> None:
    """Makes a database and a store of files that are new known to each other; raises a Fault where
    either belongs to another. place: where the files are, for the operator.
    """
    known = await secrets.known(SECRET)
    with telling_of_files(place):
        marked = await contents.text(MARK)
        if known is None and marked is None:
            marked = await contents.mark(MARK, token_hex(16))
        elif known is None and await contents.holds_others(MARK):
            # Unless another server, which begins with us, was quicker.
            known = await secrets.known(SECRET)
            if known is None:
                raise _of_another(place)
    if known is None and marked is not None:
        # Of several servers that begin at once, one is the first.
        known = await secrets.secret(SECRET, marked.encode())
    if known is not None and marked != known.decode():
        raise _elsewhere(place, known.decode())


def _of_another(place: str) -> Fault:
    message = f"the files in {place} belong to another database"
    return Fault(
        Kind.FAILED,
        f"{message}; give that one as the setting database, another place as files, or "
        f"remove {MARK} there to keep these with this one",
    )


def _elsewhere(place: str, known: str) -> Fault:
    message = f"the files in {place} are not those of this database"
    return Fault(
        Kind.FAILED,
        f"{message}; set files to the place that all its servers see, or, where that was moved or "
        f"lost, write {known} into {MARK} there",
    )
