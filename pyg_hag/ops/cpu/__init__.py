"""Native kernels for the CPU: programs of LLVM code, and the backend that runs them."""
