"""A driver of NVIDIA's that says what a test wants: a library in place of `libnvidia-ml.so.1`."""

import subprocess
from pathlib import Path

SOURCE = r"""
#include <stdio.h>
#include <string.h>
typedef unsigned long long u64;
typedef struct { u64 total, free, used; } memory_t;
static int device, instances[2];
int nvmlInitWithFlags(unsigned flags) { return INIT; }
int nvmlInit_v2(void) { return INIT; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return "an error"; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) {
    snprintf(text, size, "%s", DRIVER);
    return 0;
}
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = CUDA; return CUDA ? 0 : 12; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = COUNT; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) { *handle = &device; return 0; }
int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor) {
    *major = MAJOR;
    *minor = MINOR;
    return 0;
}
int nvmlDeviceGetMemoryInfo(void *handle, memory_t *memory) {
    u64 part = handle == &device ? 1 : 2;
    memory->total = TOTAL_GIB * (1ull << 30) / part;
    memory->free = FREE_GIB * (1ull << 30) / part;
    memory->used = memory->total - memory->free;
    return 0;
}
int nvmlDeviceGetUtilizationRates(void *handle, unsigned *of_gpu_and_memory) {
    of_gpu_and_memory[0] = 93;
    return 0;
}
int nvmlDeviceGetPowerUsage(void *handle, unsigned *milliwatts) { *milliwatts = 350000; return 0; }
int nvmlDeviceGetEnforcedPowerLimit(void *handle, unsigned *mw) { *mw = 700000; return 0; }
int nvmlDeviceGetName(void *handle, char *text, unsigned size) {
    snprintf(text, size, "%s", handle == &device ? NAME : NAME " MIG 3g");
    return 0;
}
int nvmlDeviceGetMigMode(void *handle, unsigned *now, unsigned *later) {
    *now = *later = MIG;
    return MIG < 0 ? 3 : 0;
}
int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *count) { *count = 7; return 0; }
int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned index, void **instance) {
    *instance = &instances[index % 2];
    return index < 2 ? 0 : 6;
}
"""
GPU = {
    "INIT": 0,
    "DRIVER": '"580.95.05"',
    "CUDA": 13000,
    "COUNT": 1,
    "NAME": '"NVIDIA H100 80GB HBM3"',
    "MAJOR": 9,
    "MINOR": 0,
    "TOTAL_GIB": 80,
    "FREE_GIB": 79,
    "MIG": -1,
}
"""One H100 that nobody uses, and a driver for CUDA 13; ``MIG`` -1: it cannot be divided."""


def fake_driver(folder: Path, **changes: object) -> dict[str, str]:
    """The environment in which a process finds this driver.

    Args:
        folder: Where the library is written.
        changes: Other values of ``GPU``; a text has its quotation marks.
    """
    folder.mkdir(exist_ok=True)
    (folder / "nvml.c").write_text(SOURCE)
    library = folder / "libnvidia-ml.so.1"
    defines = [f"-D{name}={value}" for name, value in (GPU | changes).items()]
    command = ["cc", "-shared", "-fPIC", "-w", *defines, "-o", str(library), "nvml.c"]
    subprocess.run(command, cwd=folder, check=True)
    return {"LD_LIBRARY_PATH": str(folder)}


def fake_packages(folder: Path, **versions: str) -> dict[str, str]:
    """The environment in which packages have other versions: their metadata comes first there."""
    for name, version in versions.items():
        metadata = folder / f"{name}-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir(parents=True, exist_ok=True)
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return {"PYTHONPATH": str(folder)}


def fake_torch(folder: Path, version: str, *, cuda: str | None) -> dict[str, str]:
    """The same for a torch with another build; nothing can be imported from it but its version."""
    environment = fake_packages(folder, torch=version)
    (folder / "torch").mkdir(exist_ok=True)
    (folder / "torch" / "__init__.py").write_text("raise ImportError('only its version is here')")
    (folder / "torch" / "version.py").write_text(f"cuda, hip = {cuda!r}, None\n")
    return environment
