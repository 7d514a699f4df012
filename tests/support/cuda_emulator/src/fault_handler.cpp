#include "tests/support/cuda_emulator/src/fault_handler.h"

#include "tests/support/cuda_emulator/src/block_executor.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

namespace cuda_emulator {
namespace {

const char* range_begin = nullptr;
const char* range_end = nullptr;
struct sigaction previous_segv, previous_bus;

// Not safe in a signal handler by the letter; the program ends here anyway.
void explain(int signal, siginfo_t* info, void*) {
  const void* address = info->si_addr;
  const bool in_device_memory = address >= range_begin && address < range_end;
  const std::string running = describe_running_fault(address);
  if (in_device_memory && running.empty()) {
    std::fprintf(stderr, "[cuda emulator] host code touched device memory at %p\n", address);
    std::abort();
  }
  if (in_device_memory) {
    std::fprintf(
        stderr,
        "[cuda emulator] a kernel touched device memory at %p, where nothing of its device is "
        "allocated. %s\n",
        address, running.c_str());
    std::abort();
  }
  if (!running.empty()) {
    std::fprintf(stderr, "[cuda emulator] fault at %p. %s\n", address, running.c_str());
    std::abort();
  }
  sigaction(signal, signal == SIGBUS ? &previous_bus : &previous_segv, nullptr);
}

}  // namespace

void install_fault_handler(const char* base, std::size_t bytes) {
  range_begin = base;
  range_end = base + bytes;
  struct sigaction action = {};
  action.sa_sigaction = explain;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, &previous_segv);
  sigaction(SIGBUS, &action, &previous_bus);
}

void use_fault_stack() {
  constexpr std::size_t kBytes = 64 << 10;
  static thread_local std::unique_ptr<char[]> memory;
  if (memory) return;
  memory = std::make_unique<char[]>(kBytes);
  stack_t stack = {};
  stack.ss_sp = memory.get();
  stack.ss_size = kBytes;
  sigaltstack(&stack, nullptr);
}

}  // namespace cuda_emulator
