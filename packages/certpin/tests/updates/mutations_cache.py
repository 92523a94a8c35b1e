"""Mutations of the code with which an updater reads and writes its cache.

``test_mutations.py`` applies each and runs the test that must fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.updates.mutations import mutation

if TYPE_CHECKING:
    from tests._mutation import Mutation

_CACHE = "tests/updates/test_cache.py::test_"
_CONFORMANCE = "tests/updates/conformance/test_conformance.py::test_"
_CASE = _CONFORMANCE + "the_client_does_what_the_specification_says"
_CRASHES = "tests/updates/test_crashes.py::test_"
_UPDATER = "tests/updates/test_updater.py::test_"

MUTATIONS: list[Mutation] = [
    mutation(
        "a refresh begins with the newest root",
        "fetch.py",
        "bootstrap = source.store.newest_root(source.root, source.name)",
        "bootstrap = source.root",
        _CONFORMANCE + "a_refresh_ends_after_the_largest_number_of_roots",
    ),
    mutation(
        "a refresh begins with a root that follows",
        "cache.py",
        "chain[len(follow_roots(bundled, later(), name)) - 1]",
        "[*chain, *later()][-1]",
        _CONFORMANCE + "a_cached_root_that_does_not_follow_is_not_begun_with",
    ),
    mutation(
        "a set is stored again if its file can't be read any more",
        "checker.py",
        "        self._saved = None  # until the file was read",
        "        # until the file was read",
        _CACHE + "a_cache_that_becomes_unusable_is_reported_until_the_set_is_stored_again",
    ),
    mutation(
        "an invalid cached set is moved aside",
        "checker.py",
        "                store.put_aside()\n",
        "                pass\n",
        _CACHE + "a_damaged_file_is_moved_aside_and_reported",
    ),
    mutation(
        "a cached set that can't be enforced is not moved aside",
        "checker.py",
        'frozenset({"storage", "context", "replaced"})',
        'frozenset({"storage", "replaced"})',
        _UPDATER + "a_cached_set_that_the_context_cannot_enforce_is_kept",
    ),
    mutation(
        "an error of the context is none of the cache",
        "checker.py",
        "        except OSError as exc:  # which would otherwise be one of the cache\n",
        "        except ZeroDivisionError as exc:\n",
        _UPDATER + "a_set_that_the_context_cannot_enforce_is_refused",
    ),
    mutation(
        "a newer set of the app holds",
        "checker.py",
        "        if older and not stored.recovers:\n",
        "        if False:\n",
        _CACHE + "a_newer_set_in_the_app_is_used",
    ),
    mutation(
        "a full disk stops nothing",
        "checker.py",
        "        except OSError as exc:\n            self._cache_failed(unusable(exc))\n",
        "        except ZeroDivisionError as exc:\n            self._cache_failed(unusable(exc))\n",
        _CRASHES + "without_a_writable_cache_the_set_is_in_force_in_memory",
    ),
    mutation(
        "the metadata has a temporary folder while the disk is full",
        "fetch.py",
        "        if not source.store.move_out():\n            raise\n",
        "        raise\n",
        _CRASHES + "without_a_writable_cache_the_set_is_in_force_in_memory",
    ),
    mutation(
        "and is written to the disk later",
        "checker.py",
        "            store.move_back()\n",
        "",
        _CRASHES + "a_set_in_memory_is_written_when_the_disk_has_space",
    ),
    mutation(
        "one process at a time",
        "cache.py",
        "while self._held is not None and not try_lock(self._held):",
        "while False:",
        _CRASHES + "waiting_for_another_process_times_out",
    ),
    mutation(
        "another process's set is taken over",
        "checker.py",
        '                if self.adopt_cached():\n                    self._notify("updated")\n',
        "",
        _CRASHES + "a_set_that_another_process_fetched_is_adopted_and_reported",
    ),
    mutation(
        "and reported",
        "checker.py",
        '                    self._notify("updated")\n',
        "                    pass\n",
        _CRASHES + "a_set_that_another_process_fetched_is_adopted_and_reported",
    ),
    mutation(
        "a lock that is a link is not followed",
        "certpin/support/files.py",
        " | os.O_NOFOLLOW",
        "",
        _CACHE + "a_lock_that_is_a_link_is_not_followed",
    ),
    mutation(
        "a stored set of the previous release is not moved aside",
        "checker.py",
        'frozenset({"storage", "context", "replaced"})',
        'frozenset({"storage", "context"})',
        _CACHE + "a_set_of_keys_that_the_apps_root_has_replaced_is_no_attack",
    ),
    mutation(
        "notes of the app's pins make no other pin set",
        "trust.py",
        "    return same or meaning(",
        "    return same or False and meaning(",
        "tests/updates/test_content.py::test_notes_of_the_apps_pins_are_no_other_pin_set",
    ),
    mutation(
        "the temporary folder is removed with the process",
        "cache.py",
        "weakref.finalize(self, shutil.rmtree, scratch, ignore_errors=True)",
        "None",
        _UPDATER + "a_program_can_end_without_closing_the_updater[False-False]",
    ),
    mutation(
        "metadata is not written through a link",
        "cache.py",
        "        if link := self._linked():\n",
        "        if link := None:\n",
        _CACHE + "a_folder_that_is_a_link_is_not_used",
    ),
    mutation(
        "only the owner can access the folder for roots",
        "cache.py",
        '        (self.metadata / "root_history").mkdir(mode=0o700, exist_ok=True)\n',
        "",
        _CACHE + "only_the_owner_can_access_the_folder",
    ),
    mutation(
        "nothing is deleted through a link",
        "cache.py",
        "        if self._linked():\n            return\n",
        "",
        _CACHE + "a_folder_that_is_a_link_is_not_used",
    ),
    mutation(
        "roots with other names are kept",
        "cache.py",
        "for path in found if _METADATA.fullmatch(path.name)",
        "for path in found",
        _CACHE + "other_files_in_the_folder_are_kept",
    ),
    mutation(
        "temporary files of other programs are kept",
        "cache.py",
        "if _TEMPORARY.fullmatch(path.name) and path.is_file():",
        "if path.is_file():",
        _CACHE + "other_files_in_the_folder_are_kept",
    ),
    mutation(
        "abandoned temporary files are deleted",
        "checker.py",
        "                self._source.store.sweep()\n",
        "",
        _CRASHES + "temporary_files_of_killed_processes_are_deleted",
    ),
    *(
        mutation(f"keys are counted, not ids: {case}", "trust.py", old, new, f"{_CASE}[{case}]")
        for old, new in [("len(distinct(keys.values())) < threshold", "len(keys) < threshold")]
        for case in (
            "a_root_key_under_two_ids_is_one",
            "targets signed by one key under two ids",
        )
    ),
    *(
        mutation(f"no file beyond its limit: {case}", "fetch.py", old, new, f"{_CASE}[{case}]")
        for old, new in [("if held.tell() + len(chunk) > limit:", "if held.tell() < 0:")]
        for case in ("more_signatures_than_can_be_read", "timestamp one byte above the limit")
    ),
    mutation(
        "a target's name stays in its folder",
        "trust.py",
        "if not is_plain(name) or",
        "if",
        f"{_CASE}[a target with the name ../ca.pem]",
    ),
    mutation(
        "JSON of another form is a refusal",
        "refusals.py",
        "    except Exception as exc:\n",
        "    except ZeroDivisionError as exc:\n",
        f"{_CASE}[instead of a timestamp an empty signed part]",
    ),
    mutation(
        "the cached number of a root is not trusted",
        "trust.py",
        "known = min(max(stored.root, 1), roots[-1].version)",
        "known = stored.root",
        _CACHE + "a_number_of_a_root_that_does_not_exist_is_harmless[0]",
    ),
    mutation(
        "a relative cache stays the same folder",
        "updater.py",
        "    return folder.absolute()\n",
        "    return folder\n",
        _UPDATER + "a_relative_cache_stays_where_it_is_if_the_app_changes_its_folder",
    ),
]
