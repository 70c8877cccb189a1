"""Whether the NVIDIA driver has a device, asked without torch, and what is printed where `auto` does without."""

import ctypes


def no_cuda() -> str:
    """Why there is no CUDA device, as the driver has it; empty when there is one. CUDA_VISIBLE_DEVICES counts."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver"
    count = ctypes.c_int()
    code = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    return "" if count.value else f"no NVIDIA device, the driver says {code}"


def no_cuda_note(reason: str) -> str:
    """What is printed when `auto` has to do without CUDA."""
    return f"CUDA cannot be used ({reason}); using the CPU"
