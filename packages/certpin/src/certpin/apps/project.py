"""Read an app: choose its files by their names, and read each with the reader for its type.

These files are read: the source files of the language, its manifests, the certificates and keys
that the app contains, and the pins in the configuration of Android and Apple. Nothing is executed,
and nothing outside the given paths is read (see ``tree``).
"""

from __future__ import annotations

import posixpath
import re
import shlex
from dataclasses import dataclass, field
from errno import EFBIG, ENAMETOOLONG
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from certpin.apps import certificates, platforms
from certpin.apps.allow import with_allowances
from certpin.apps.builds import builds_of, builds_of_source, is_for_debug
from certpin.apps.commands import format_command
from certpin.apps.model import FileFindings, Place, SourceFile, Unread
from certpin.apps.tree import ListedFile, NamedPath, list_files, path_in_messages
from certpin.apps.usage import is_production
from certpin.errors import ConfigError, FormatError, InputError
from certpin.support.text import counted, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime

    from certpin.apps.languages import Language
    from certpin.apps.tree import Tree

    # Shows the progress over a number of files: call the inner function after each.
    Progress = Callable[[int], AbstractContextManager[Callable[[], None]]]

# The largest generated sources (localizations, protocol buffers) have some MiB.
MAX_FILE_BYTES = 8 * 1024 * 1024
# A file of certificates: the bundle of all public roots has less than 1 MiB. Assets are mostly
# pictures and sounds, of which the first bytes already show that they are no certificates.
MAX_ASSET_BYTES = 1024 * 1024

_FIXES = {  # by the number of the error
    EFBIG: "split the file, or name only the other files and folders of the app",
    ENAMETOOLONG: "name this folder, too, beside the others",
}

# Android's folders of resources, which may have qualifiers (xml-v28):
# https://developer.android.com/guide/topics/resources/providing-resources
_XML_FOLDER = re.compile(r"xml(?:-.*)?")
# The native code of mobile apps, which certpin doesn't check.
_OTHER_CODE = (".java", ".kt", ".m", ".mm", ".swift")
# The folders of files that an app contains.
# A folder of resources in a source set of Gradle, which the user may have named itself.
_RESOURCES = re.compile(r"\bsrc/[^/]+/res/")
_SHIPPED = re.compile(r"res/raw(?:-[^/]*)?/|(?<!lib/)src/[^/]+/assets/|Runner/")


@dataclass
class Project:
    """The results of reading an app.

    Attributes:
        findings: the results for all files.
        files: the number of files that were read.
        skipped: each link and special file (such as a FIFO), with its kind; they were not read.
        left_out: the folders of tests, which were not read.
        copied: the files of certpin's own library, which were not read.
        other_code: the files of code in other languages, which were not read.
    """

    findings: FileFindings = field(default_factory=FileFindings)
    files: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    copied: list[str] = field(default_factory=list)
    other_code: list[str] = field(default_factory=list)


def read_project(
    paths: Iterable[str], language: Language, now: datetime, progress: Progress
) -> Project:
    """Read the files of an app.

    Args:
        paths: files and folders of the app.
        language: the programming language of its source.
        now: the current time, for expiry dates.
        progress: a function that shows the progress. It gets the number of files, and returns a
            context manager. This yields a second function, which is called after each file.

    Returns:
        The results. They also list each file, folder or part of a file that can't be read.

    Raises:
        MissingExtraError: a package that the language needs is not installed.
        FormatError: a path can't be read, there are too many files, no file was read, or a file
            that the user named has no reader.
    """
    read_source = language.load()
    paths = list(paths)
    with list_files(paths) as tree:
        selection = _Selection(tree, language, set(map(path_in_messages, paths)))
        project = Project(skipped=tree.skipped, left_out=selection.left_out)
        project.findings.extend(selection.findings)
        project.findings.unread += [_unread(path, error) for path, error in tree.unread]
        project.other_code = selection.other_code()
        if unread := next(selection.named_without_reader(), None):
            raise _nothing_read([unread], project, language)
        chosen = list(selection.files())
        with progress(len(chosen)) as advance:
            for listed in chosen:
                _read_one(project, selection, listed, read_source, now)
                advance()
    platforms.mark_debug_anchors(project.findings)
    project.findings.mistakes = platforms.without_pins_in_dart(project.findings)
    project.files += selection.manifests
    if not project.files and not project.findings.unread:
        raise _nothing_read(paths, project, language)
    return project


def _nothing_read(paths: list[str], project: Project, language: Language) -> FormatError:
    """Return the error to raise if no file was read: a check of nothing must not pass.

    The message says why, for example that the files are of another language. ``paths`` are those
    that the user named, and ``project`` has the files that were left out.
    """
    reasons = []
    if project.left_out:
        reasons.append(f"tests are left out ({', '.join(project.left_out)})")
    if project.copied:
        reasons.append(f"{counted(len(project.copied), 'file')} copied by certpin export")
    reasons += [f"{path} is {kind}" for path, kind in project.skipped[:1]]
    found = f"; found only: {', '.join(reasons)}" if reasons else ""
    wanted = ", ".join((*(f"*{suffix}" for suffix in language.suffixes), language.manifest))
    return FormatError(
        f"no file was read in {printable(', '.join(paths))}: certpin import {language.name} reads "
        f"{wanted}, certificates, *.plist and Android's res/xml/*.xml{found}",
        fix=printable(_fix_for_unread(project, paths, language)),
    )


def _fix_for_unread(project: Project, paths: list[str], language: Language) -> str:
    if project.left_out:
        tests = shlex.quote(project.left_out[0])
        return f"name the folder of the tests: certpin import {language.name} {tests}"
    folder = f"name the folder of your app, the one with {language.manifest}"
    for path in (*paths, *project.other_code):
        if command := format_command(path):
            return f"import the pins of that file: {command}; for a check, {folder}"
    return folder


def _read_one(
    project: Project,
    selection: _Selection,
    listed: ListedFile,
    read_source: Callable[[SourceFile, datetime], FileFindings],
    now: datetime,
) -> None:
    """Read one file with the reader that fits its name, and add its results to the project.

    Args:
        project: the results so far.
        selection: the files that are read.
        listed: the file.
        read_source: the reader for source code of the app's programming language.
        now: the current time.
    """
    file = _load(listed, selection.limit(listed), project.findings)
    if file is None:
        return
    if file.is_copied:
        project.copied.append(file.path)
        return
    project.files += 1
    try:
        is_source = listed.name.lower().endswith(selection.language.suffixes)
        if is_source:
            found = read_source(file, now)
            if builds := selection.builds_of_source(listed):
                _limit_source(found, builds)
        else:
            found = _read_resource(selection, listed, file, now)
            if builds := selection.builds(listed):
                found.limit_to(builds)
        stem = printable(PurePosixPath(listed.name).stem)
        found.judge_by_name(stem, is_source=is_source)
    except (InputError, ConfigError) as exc:
        project.findings.unread.append(Unread.because_of(exc, file))
        return
    found.mistakes = with_allowances(file, found.mistakes)
    project.findings.extend(found)


def _limit_source(found: FileFindings, builds: str) -> None:
    """Mark the keys in a source file as used by ``builds`` only, because of the file's name.

    ``found`` are the results for the file, which are changed. But keys in a constant with a name
    such as ``prodPins`` are not marked: the name of a constant counts more than that of the file.
    """
    pins, certificates = found.pins, found.certificates
    found.limit_to(builds)
    found.pins = [
        before if is_production(before.name) else after
        for before, after in zip(pins, found.pins, strict=True)
    ]
    found.certificates = [
        before if is_production(before.name) else after
        for before, after in zip(certificates, found.certificates, strict=True)
    ]


def _read_resource(
    selection: _Selection, listed: ListedFile, file: SourceFile, now: datetime
) -> FileFindings:
    """Read a file that is not source code: a platform's configuration, or certificates.

    The name of the file, and its content, decide which reader is used. The results are empty if
    none fits. ``listed`` is the entry of ``file`` in ``selection``.
    """
    name = listed.name.lower()
    beside = partial(selection.beside, listed)
    if name.endswith(".xml"):
        if platforms.is_network_security(file):
            for_debug = selection.is_for_debug(listed)
            return platforms.read_network_security(file, now, beside, for_debug=for_debug)
    elif name.endswith(".plist"):
        if platforms.is_apple(file):
            return platforms.read_apple(file, now, beside)
    elif selection.is_certificate(listed) or certificates.looks_like_certificate(file.data):
        shipped = selection.is_shipped(listed)
        return certificates.read_certificates_file(file, now, shipped=shipped)
    return FileFindings()


def _load(listed: ListedFile, limit: int, findings: FileFindings) -> SourceFile | None:
    """Return a file (``listed``) with its content.

    If the file can't be read, or has more than ``limit`` bytes, return None and add an ``Unread``
    to ``findings``.
    """
    try:
        data = listed.read(limit)
    except (OSError, ValueError) as exc:
        findings.unread.append(_unread(listed.path, exc))
        return None
    return SourceFile(listed.path, data, data.decode("utf-8", "replace"))


def _unread(path: str, error: OSError | ValueError) -> Unread:
    """Return the ``Unread`` for a file or folder that the system, or a limit of certpin, refused.

    Args:
        path: the file or folder, as messages show it.
        error: the error.
    """
    problem = getattr(error, "strerror", None) or str(error)
    number = error.errno if isinstance(error, OSError) else None
    fix = _FIXES.get(number or 0, "check its permissions, and try again")
    return Unread(Place(path, 1), problem, fix)


class _Selection:
    """The files of an app that certpin can read: source, manifests, certificates, configuration.

    The manifests (such as ``pubspec.yaml``) are read first, because they list the app's assets.
    """

    def __init__(self, tree: Tree, language: Language, named: set[str]) -> None:
        self.language = language
        self._named = named  # the paths of the user
        self.findings = FileFindings()
        self.manifests = 0
        self.left_out: list[str] = []
        self._tree = tree
        self._by_place = {(file.root, file.parts): file for file in tree.files}
        self._assets: dict[ListedFile, str] = {}  # with the builds that contain each
        self._tests: set[tuple[NamedPath, tuple[str, ...]]] = set()
        manifests = [file for file in tree.files if file.name == language.manifest]
        self._projects = {(file.root, file.folder) for file in manifests}
        self._find_tests()
        for manifest in manifests:
            if not self._in_tests(manifest):
                self._read_manifest(manifest)

    def files(self) -> Iterator[ListedFile]:
        """Yield the files to read, in the order in which they were listed."""
        for file in self._tree.files:
            if not self._in_tests(file) and self._has_reader(file):
                yield file

    def named_without_reader(self) -> Iterator[str]:
        """Yield the paths of files that the user named, and that have no reader.

        The caller raises ``FormatError`` for them, so that the user doesn't take them for checked.
        """
        for file in self._tree.files:
            read = self._has_reader(file) or file.name == self.language.manifest
            if file.path in self._named and not read and not self._in_tests(file):
                yield file.path

    def other_code(self) -> list[str]:
        """Return the paths of the files of code in languages that certpin doesn't check.

        The result of a check names them, so that "0 errors" isn't taken for theirs.
        """
        return [
            file.path
            for file in self._tree.files
            if file.name.lower().endswith(_OTHER_CODE) and not self._in_tests(file)
        ]

    def limit(self, file: ListedFile) -> int:
        """Return the maximum size in bytes for this kind of file.

        A larger file is not read, but listed as unread in the results.
        """
        named = file.name.lower().endswith((*self.language.suffixes, ".xml", ".plist"))
        return MAX_FILE_BYTES if named else MAX_ASSET_BYTES

    def is_certificate(self, file: ListedFile) -> bool:
        """Return True if the file can contain certificates or keys, according to its suffix.

        A key store counts only if it is part of the released app.
        """
        name = file.name.lower()
        return name.endswith(certificates.SUFFIXES) or (
            name.endswith(certificates.KEY_STORES) and self.is_shipped(file)
        )

    def is_shipped(self, file: ListedFile) -> bool:
        """Return True if the file is part of the released app: an asset or a resource.

        A private key is reported as a mistake only in such a file.
        """
        path = "/".join((posixpath.basename(file.root.name), *file.parts))
        if file in self._assets:
            return True
        return _SHIPPED.search(path) is not None and not self.is_for_debug(file)

    def is_for_debug(self, file: ListedFile) -> bool:
        """Return True if a file is in a Gradle source set for debugging or tests.

        No release of the app contains such a file, so weak settings in it are not reported.
        """
        return is_for_debug(self._path_in_project(file))

    def builds(self, file: ListedFile) -> str:
        """Return the builds that use a file, as a phrase such as "debug builds".

        The result is empty if builds for the app store use the file.
        """
        return self._assets.get(file) or builds_of(self._path_in_project(file))

    def builds_of_source(self, file: ListedFile) -> str:
        """Return the builds that use a source file; empty if builds for the app store use it.

        For a file that the user named itself, the result is empty, so that it is imported whatever
        its name is.
        """
        return "" if file.path in self._named else builds_of_source(self._path_in_project(file))

    def _path_in_project(self, file: ListedFile) -> str:
        """Return the path of a file relative to its project, from which its builds are decided.

        The folders above the project don't count, because a project can be in any folder, such as
        ``src/bank-test/assets`` or ``dev``. So the path begins below the innermost manifest, or
        below the folder that the user named. If that is a folder in the resources of a source set,
        such as ``src/debug/res/xml``, the path begins with ``src``.
        """
        for depth in range(len(file.folder), -1, -1):
            if (file.root, file.folder[:depth]) in self._projects:
                return "/".join(file.parts[depth:])
        below = len(file.path) - len("/".join(file.parts))
        starts = [match.start() for match in _RESOURCES.finditer(file.path)]
        return file.path[min([below, *starts[-1:]]) :]

    def beside(self, file: ListedFile, name: str) -> bytes:
        """Return the content of a file that another file names by a relative path.

        Args:
            file: the other file. The path is relative to its folder.
            name: the relative path.

        Raises:
            FormatError: the path isn't below the paths that the user named, or the file can't be
                read.
        """
        path = posixpath.normpath(posixpath.join("/".join(file.folder), name))
        found = self._by_place.get((file.root, PurePosixPath(path).parts))
        if found is None:
            raise FormatError(f"the file {name[:80]!r} is not in the paths that were named")
        try:
            return found.read(MAX_ASSET_BYTES)
        except OSError as exc:
            raise FormatError(f"{name[:80]!r} can't be read: {exc.strerror or exc}") from exc

    def _has_reader(self, file: ListedFile) -> bool:
        name = file.name.lower()
        if name.endswith((*self.language.suffixes, ".plist")) or self.is_certificate(file):
            return True
        folder = (posixpath.basename(file.root.name), *file.folder)[-1]
        in_resources = name.endswith(".xml") and _XML_FOLDER.fullmatch(folder) is not None
        return in_resources or name == "network_security_config.xml" or file in self._assets

    def _find_tests(self) -> None:
        """Find the folders of tests beside the manifests, because their files are not read."""
        for file in self._tree.files:
            for depth, name in enumerate(file.folder):
                if (
                    name in self.language.tests
                    and (file.root, file.folder[:depth]) in self._projects
                ):
                    self._tests.add((file.root, file.folder[: depth + 1]))
        self.left_out = sorted(ListedFile(*place).path for place in self._tests)

    def _in_tests(self, file: ListedFile) -> bool:
        folders = (file.folder[:depth] for depth in range(1, len(file.folder) + 1))
        return any((file.root, folder) in self._tests for folder in folders)

    def _read_manifest(self, listed: ListedFile) -> None:
        file = _load(listed, MAX_FILE_BYTES, self.findings)
        if file is None or self.language.read_manifest is None:
            return
        self.manifests += 1
        try:
            manifest = self.language.read_manifest(file)
        except ConfigError as exc:  # the package that reads it is missing
            self.findings.unread.append(Unread.because_of(exc, file))
            return
        manifest.findings.mistakes = with_allowances(file, manifest.findings.mistakes)
        self.findings.extend(manifest.findings)
        for asset in manifest.assets:
            for each in self._files_of(asset.path, listed):
                # Flutter refuses a file that two entries assign to different flavours.
                self._assets[each] = self._assets.get(each) or asset.builds

    def _files_of(self, path: str, manifest: ListedFile) -> list[ListedFile]:
        """Return the files of an asset that a manifest lists: one, or those directly in a folder.

        ``path`` is relative to the manifest; a folder's path ends with a slash.
        """
        parts = PurePosixPath(posixpath.normpath(posixpath.join(*manifest.folder, path))).parts
        if not path.endswith("/"):
            found = self._by_place.get((manifest.root, parts))
            return [found] if found else []
        in_root = (file for file in self._tree.files if file.root == manifest.root)
        return [file for file in in_root if file.folder == parts]
