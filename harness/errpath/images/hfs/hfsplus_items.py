"""Give every entry of an HFS+ volume its identity: CNIDs, links, the volume's own files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from errpath.errors import UsageError
from errpath.images.hfs import unistr
from errpath.images.hfs.entries import Directory, Entry, File, HardLink, split_path

__all__ = ["FIRST_USER", "PRIVATE_DIRECTORY", "ROOT", "Item", "identify"]

# CNIDs: the root directory and its parent, the first of users' files.
ROOT_PARENT, ROOT, FIRST_USER = 1, 2, 16
# The directory that holds what hard links point to: four NULs in front keep it last and hidden.
PRIVATE_DIRECTORY = "\u2400\u2400\u2400\u2400HFS+ Private Data"


@dataclass(frozen=True)
class Item:
    """An entry with its identity and what only the whole tree knows."""

    entry: Entry
    cnid: int
    parent: int
    # UTF-16 code units.
    name: tuple[int, ...]
    # Entries and directories inside, of a directory.
    valence: int = 0
    folders: int = 0
    # Of a hard link: the file it points to. Of a file with links: the links' CNIDs.
    target: int = 0
    links: tuple[int, ...] = ()
    # Made by the volume, not asked for: the private directory and the journal's files.
    hidden: bool = False


def identify(
    entries: Sequence[Entry],
    *,
    volume_name: str,
    private_directory: bool,
    hidden_files: Sequence[str],
    case_sensitive: bool,
) -> list[Item]:
    """Every entry with its CNID, the root directory first, then what the volume itself needs.

    A file with hard links moves into the private directory, and a link takes its place.

    Raises:
        UsageError: a name given twice; a link to what is no file before it.
    """
    items: dict[int, Item] = {}
    paths: dict[tuple[str, ...], int] = {}
    names: set[tuple[int, tuple[int, ...]]] = set()

    def add(entry: Entry, parent: int, name: str, **more: object) -> int:
        units = unistr.encode_name(name)
        key = (parent, unistr.sort_key(units, case_sensitive=case_sensitive))
        if key in names:
            raise UsageError(f"{entry.path}: expected a name that differs from the others")
        names.add(key)
        cnid = ROOT if not items else FIRST_USER + len(items) - 1
        hidden = bool(more.get("hidden"))
        items[cnid] = Item(entry=entry, cnid=cnid, parent=parent, name=units, hidden=hidden)
        return cnid

    paths[()] = add(Directory(path=""), ROOT_PARENT, volume_name)
    private = 0
    if private_directory:
        private = add(
            Directory(path=PRIVATE_DIRECTORY, mode=0), ROOT, PRIVATE_DIRECTORY, hidden=True
        )
    for name in hidden_files:
        paths[(name,)] = add(File(path=name), ROOT, name, hidden=True)
    links: dict[int, list[int]] = {}
    for entry in entries:
        parts = split_path(entry.path)
        paths[parts] = cnid = add(entry, paths[parts[:-1]], parts[-1])
        if isinstance(entry, HardLink):
            target = paths.get(split_path(entry.target), 0)
            if not target or not isinstance(items[target].entry, File) or not private:
                raise UsageError(
                    f"{entry.path}: expected a link to a file that stands before it, in a volume "
                    f"with a private directory, not to {entry.target!r}"
                )
            links.setdefault(target, []).append(cnid)
    for target, others in links.items():
        items |= _hide_target(items, target, others, private)
    return _count(items.values())


def _hide_target(
    items: Mapping[int, Item], target: int, others: Sequence[int], private: int
) -> dict[int, Item]:
    """The file under its name in the private directory, and links in all its places."""
    file = items[target]
    first = FIRST_USER + len(items) - 1
    chain = (first, *others)
    inode = Item(
        entry=file.entry,
        cnid=target,
        parent=private,
        name=unistr.encode_name(f"iNode{target}"),
        links=chain,
    )
    result = {target: inode}
    for cnid in chain:
        place = file if cnid == first else items[cnid]
        entry = HardLink(path=place.entry.path, target=file.entry.path)
        result[cnid] = Item(
            entry=entry, cnid=cnid, parent=place.parent, name=place.name, target=target, links=chain
        )
    return result


def _count(items: Iterable[Item]) -> list[Item]:
    items = list(items)
    valence: dict[int, int] = {}
    folders: dict[int, int] = {}
    for item in items:
        valence[item.parent] = valence.get(item.parent, 0) + 1
        if isinstance(item.entry, Directory):
            folders[item.parent] = folders.get(item.parent, 0) + 1
    return [
        replace(item, valence=valence.get(item.cnid, 0), folders=folders.get(item.cnid, 0))
        for item in items
    ]
