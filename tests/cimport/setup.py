"""Builds foreign.pyx as another project would: nothing but Cython and an installed wsfast."""

from Cython.Build import cythonize
from Cython.Compiler import Options
from setuptools import Extension, setup

Options.warning_errors = True
setup(name="foreign", ext_modules=cythonize([Extension("foreign", ["foreign.pyx"])]))
