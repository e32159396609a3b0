"""The kernels are compiled for GPUs as the losses launch them; that needs no GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_kernels_compile_for_cuda(tmp_path: Path) -> None:
    pytest.importorskip("triton")
    environment = {name: x for name, x in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    found = subprocess.run(
        [sys.executable, __file__], env=environment, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr[-3000:]
    assert int(found.stdout) >= 12


class Compiler:
    """Stands where a kernel does, and compiles it for what it is launched with."""

    def __init__(self, kernel) -> None:
        self.kernel = kernel
        self.compiled = 0

    def __getitem__(self, grid: tuple[int, ...]):
        return self.compile

    def compile(self, *given, num_warps: int, **named) -> None:
        import triton
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource
        from triton.runtime.jit import mangle_type

        names = self.kernel.arg_names
        values = dict(zip(names, given, strict=False)) | named
        fixed = {name for name in names if name.isupper() or values[name] is None}
        types = {
            name: "constexpr" if name in fixed else mangle_type(values[name]) for name in names
        }
        constants = {(i,): values[name] for i, name in enumerate(names) if name in fixed}
        source = ASTSource(self.kernel, types, constants)
        for architecture in (80, 90):
            target = GPUTarget("cuda", architecture, 32)
            done = triton.compile(source, target=target, options={"num_warps": num_warps})
            assert "tf32" not in done.asm["ptx"]
            self.compiled += 1


def main() -> None:
    import torch

    from temperance.contrast import kernels, triton
    from temperance.contrast.layout import Candidates, Layout

    kernels.sums, kernels.gradients = Compiler(kernels.sums), Compiler(kernels.gradients)
    own = torch.arange(40)
    for dtype, stored in ((torch.float32, torch.bfloat16), (torch.float64, torch.float64)):
        a = torch.randn(40, 20, dtype=dtype)
        at = torch.randn(40, dtype=dtype)
        candidates = Candidates((a[:30], a[30:].to(stored)), (None, at[30:]))
        few = Layout("both", own=own, itself=own, anchor_class=own, candidate_class=own, floor=at)
        triton.log_sums(a, candidates, few, True, True)
        triton.gradients(a, candidates, few, True, (at, at), (at, at), (True, False))
        layout = Layout("symmetric", own=own, itself=own)
        triton.log_sums(a, Candidates((a,), (None,)), layout, True)
        triton.gradients(a, Candidates((a,), (None,)), layout, True, (at, at), None, (False,))
    print(kernels.sums.compiled + kernels.gradients.compiled)


if __name__ == "__main__":
    main()
