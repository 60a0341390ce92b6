"""One extension module: Cython door, C kernels compiled once for each instruction set.

FASTNET_NO_EXT=1     install without the extension: the NumPy reference backend only
FASTNET_OPENMP=1     run kernels on OpenMP's threads instead of fastnet's own pool (Windows: always, where it is found)
FASTNET_WERROR=1     compiler warnings are errors (CI)
FASTNET_CFLAGS       further compiler flags, FASTNET_LDFLAGS further linker flags
"""

import glob
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError, PlatformError

NO_COMPILER = """
fastnet: the C kernels could not be compiled ({error}).

fastnet needs a C compiler (gcc >= 9 or clang >= 10) and Python's headers. For example:
    Debian, Ubuntu:  apt-get install gcc python3-dev
    Fedora:          dnf install gcc python3-devel
    macOS:           xcode-select --install
    Windows:         the LLVM tools of Visual Studio (clang-cl)
To install without it, on the slow NumPy reference backend:  FASTNET_NO_EXT=1 pip install ...
"""
OPENMP_PROBE = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"


def at_once(compile_all):
    """Compile a list of sources with a process for each processor; setuptools takes one after the other."""

    def compile_each(sources, **options):
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = pool.map(lambda source: compile_all([source], **options), sources)
            return [name for names in objects for name in names]

    return compile_each


class BuildKernels(build_ext):
    """build_ext that sets the flags, probes OpenMP where it is asked for, and says what is missing."""

    def build_extension(self, ext):
        windows = self.compiler.compiler_type == "msvc"  # clang-cl
        ext.extra_compile_args = self.flags(windows) + shlex.split(os.environ.get("FASTNET_CFLAGS", ""))
        openmp_compile, openmp_link = self.openmp(windows)
        ext.extra_compile_args += openmp_compile
        ext.extra_link_args = openmp_link + shlex.split(os.environ.get("FASTNET_LDFLAGS", ""))
        if not windows:
            self.compiler.compile = at_once(self.compiler.compile)
        try:
            super().build_extension(ext)
        except (CompileError, LinkError, PlatformError) as error:
            sys.exit(NO_COMPILER.format(error=error))

    @staticmethod
    def flags(windows):
        # -ffp-contract=fast: a*b + c is one FMA on every compiler, so that all FMA targets give the same bits; packing
        # scalar statements into vectors (SLP) would pull some products out of their FMA.
        common = ["-O3", "-ffp-contract=fast", "-fno-tree-slp-vectorize", "-fno-math-errno", "-fno-trapping-math"]
        common += ["-Wno-psabi", "-Wno-pass-failed"]
        if windows:
            return ["/clang:" + flag for flag in common]
        strict = ["-Wall", "-Wextra", "-Werror"] if os.environ.get("FASTNET_WERROR") == "1" else []
        return ["-std=gnu11", "-g0", "-fvisibility=hidden", *common, *strict]

    def openmp(self, windows):
        if not windows and os.environ.get("FASTNET_OPENMP") != "1":
            return ["-pthread"], ["-pthread"]
        candidates = [(["-fopenmp"], ["-fopenmp"])]
        if windows:
            candidates = [(["/clang:-fopenmp"], ["libomp.lib"])]
        elif platform.system() == "Darwin":
            prefix = self.brew_prefix()
            candidates = [(["-Xpreprocessor", "-fopenmp", f"-I{prefix}/include"], [f"-L{prefix}/lib", "-lomp"])]
        for compile_args, link_args in candidates:
            if self.compiles(OPENMP_PROBE, compile_args, link_args):
                return compile_args, link_args
        self.announce("fastnet: no OpenMP here; kernels run on fastnet's own threads, on Windows on one", level=3)
        return [], []

    @staticmethod
    def brew_prefix():
        try:
            return subprocess.run(
                ["brew", "--prefix", "libomp"], capture_output=True, text=True, check=True
            ).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return "/usr/local/opt/libomp"

    def compiles(self, source, compile_args, link_args):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "probe.c")
            with open(path, "w") as file:
                file.write(source)
            try:
                objects = self.compiler.compile([path], output_dir=folder, extra_postargs=compile_args)
                self.compiler.link_executable(objects, os.path.join(folder, "probe"), extra_postargs=link_args)
            except Exception:
                return False
        return True


extensions = []
if os.environ.get("FASTNET_NO_EXT") != "1":
    subprocess.run([sys.executable, "csrc/door.py"], check=True)  # fastnet/backends/_kernels.pxi
    extensions = [
        Extension(
            "fastnet.backends._native",
            ["fastnet/backends/_native.pyx", *sorted(glob.glob("csrc/*/*.c"))],
            include_dirs=["csrc"],
            depends=["csrc/kernels.def", *sorted(glob.glob("csrc/**/*.h", recursive=True))],
        )
    ]

setup(ext_modules=extensions, cmdclass={"build_ext": BuildKernels})
