"""Changes a module in all processes of a sweep, as they import it."""

_FINDER = """
import importlib.util as _util, sys as _sys

class _Finder:
    def find_spec(self, name, path=None, target=None):
        if name != MODULE:
            return None
        _sys.meta_path.remove(self)
        spec = _util.find_spec(name)
        run = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (run(module), patch(module))
        return spec

_sys.meta_path.insert(0, _Finder())
"""


def sitecustomize(module: str, code: str) -> str:
    """The text of a ``sitecustomize.py``, for a folder in ``PYTHONPATH``.

    Args:
        module: Name of the module.
        code: Defines ``patch(module)``, which is called once the module is imported.
    """
    return code + _FINDER.replace("MODULE", repr(module))
