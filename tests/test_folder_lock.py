import builtins

import pytest

from positcore.folder_lock import lock_folder


def test_one_holds_a_folder_at_a_time(tmp_path):
    with lock_folder(tmp_path) as held:
        assert held
        with pytest.raises(BlockingIOError), lock_folder(tmp_path):
            pass
    with lock_folder(tmp_path, wait=True) as held:
        assert held


def test_where_there_are_no_locks(tmp_path, monkeypatch):
    real = builtins.__import__

    def absent(name, *rest):
        if name == "fcntl":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with lock_folder(tmp_path) as one, lock_folder(tmp_path) as other:
        assert (one, other) == (False, False)
