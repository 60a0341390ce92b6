"""One extension module: Cython bindings, C kernels compiled once for each instruction set.

FASTNET_NO_EXT=1     install without the extension: the NumPy reference backend only
FASTNET_OPENMP=1     run kernels on OpenMP's threads instead of fastnet's own pool (Windows: always, where it is found)
FASTNET_WERROR=1     compiler warnings are errors (CI)
FASTNET_CFLAGS       further compiler flags, FASTNET_LDFLAGS further linker flags
FASTNET_OBJECTS=DIR  keep compiled objects there, for builds in several folders, instead of in build/objects
"""

import glob
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
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


class Objects:
    """compiler.compile with one process per processor and a cache of objects.

    Objects are kept in build/objects under a hash of what they depend on, so that `pip install .` reuses what an
    earlier one in the same folder compiled; setuptools compiles all of them when one file is newer than the extension.
    Objects that the last build did not use are deleted, unless FASTNET_OBJECTS names a folder of several builds.

    Only the sources in RUNTIME get the flags `threads`, so that builds on other threads share the kernels.
    """

    SHARED = os.environ.get("FASTNET_OBJECTS")
    FOLDER = SHARED or os.path.join("build", "objects")
    RUNTIME = os.path.join("csrc", "runtime", "")
    SLOWEST = "avx512", "avx2", "portable", "_native"  # compiled first, so that no processor waits for one at the end

    def __init__(self, compiler, depends, threads):
        self.compile, self.threads, self.used = compiler.compile, threads, set()
        version = subprocess.run([compiler.compiler_so[0], "--version"], capture_output=True, text=True, check=False)
        self.common = [sys.version, version.stdout, *compiler.compiler_so, *map(self.text, depends)]

    @staticmethod
    def text(path):
        with open(path, encoding="utf-8") as file:
            return file.read()

    def __call__(self, sources, **options):
        order = sorted(sources, key=lambda source: [name not in source for name in self.SLOWEST])
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = dict(zip(order, pool.map(lambda source: self.object(source, options), order), strict=True))
        for name in os.listdir(self.FOLDER):
            if name not in self.used and not self.SHARED:
                os.remove(os.path.join(self.FOLDER, name))
        return [objects[source] for source in sources]

    def object(self, source, options):
        if source.startswith(self.RUNTIME):
            options = {**options, "extra_postargs": [*options["extra_postargs"], *self.threads]}
        flags = [repr(options.get(name)) for name in ("macros", "extra_preargs", "extra_postargs")]
        key = hashlib.sha256("\0".join([source, self.text(source), *flags, *self.common]).encode()).hexdigest()
        kept, target = os.path.join(self.FOLDER, key), os.path.join(options["output_dir"], source[:-1] + "o")
        if os.path.isfile(kept):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(kept, target)
        else:
            (target,) = self.compile([source], **options)
            os.makedirs(self.FOLDER, exist_ok=True)
            shutil.copyfile(target, kept + ".part")
            os.replace(kept + ".part", kept)
        self.used.add(key)
        return target


class BuildKernels(build_ext):
    """build_ext that sets the flags, probes OpenMP if requested, and reports what is missing."""

    def build_extension(self, ext):
        windows = self.compiler.compiler_type == "msvc"  # clang-cl
        ext.extra_compile_args = self.flags(windows) + shlex.split(os.environ.get("FASTNET_CFLAGS", ""))
        threads, openmp_link = self.openmp(windows)
        ext.extra_link_args = openmp_link + shlex.split(os.environ.get("FASTNET_LDFLAGS", ""))
        if windows:
            ext.extra_compile_args += threads
        else:
            self.compiler.compile = Objects(self.compiler, ext.depends, threads)
        try:
            super().build_extension(ext)
        except (CompileError, LinkError, PlatformError) as error:
            sys.exit(NO_COMPILER.format(error=error))

    @staticmethod
    def flags(windows):
        # -ffp-contract=fast: a*b + c is one FMA on every compiler, so that all FMA targets give the same bits; packing
        # scalar statements into vectors (SLP) would pull some products out of their FMA.  GCC spends a seventh of its
        # time on GCSE, which makes nothing faster; clang has no such flag.
        common = ["-O3", "-ffp-contract=fast", "-fno-tree-slp-vectorize", "-fno-math-errno", "-fno-trapping-math"]
        common += ["-fno-gcse", "-fno-gcse-after-reload"]
        common += ["-Wno-psabi", "-Wno-pass-failed", "-Wno-ignored-optimization-argument"]
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


class CopySources(build_py):
    """build_py that adds the sources of the GPU's kernels, which are compiled when they are first used."""

    def run(self):
        super().run()
        if not self.editable_mode:
            target = os.path.join(self.build_lib, "fastnet", "backends", "device", "cuda")
            self.mkpath(target)
            for path in glob.glob("csrc/cuda/*"):
                self.copy_file(path, target)


extensions = []
if os.environ.get("FASTNET_NO_EXT") != "1":
    subprocess.run([sys.executable, "csrc/bindings.py"], check=True)  # fastnet/backends/_kernels.pxi
    extensions = [
        Extension(
            "fastnet.backends._native",
            ["fastnet/backends/_native.pyx", *sorted(glob.glob("csrc/*/*.c"))],
            include_dirs=["csrc"],
            depends=["csrc/kernels.def", *sorted(glob.glob("csrc/**/*.h", recursive=True))],
        )
    ]

setup(ext_modules=extensions, cmdclass={"build_ext": BuildKernels, "build_py": CopySources})
