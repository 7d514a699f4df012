#include "tests/support/cuda_emulator/src/fault_handler.h"

#include "tests/support/cuda_emulator/src/block_executor.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace cuda_emulator {
namespace {

const char* range_begin = nullptr;
const char* range_end = nullptr;
struct sigaction previous_segv, previous_bus;

// Not async-signal-safe, strictly; the program ends here anyway.
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
  /// Its memory must outlive its use.
  struct FaultStack {
    std::vector<char> memory = std::vector<char>(64 << 10);
    FaultStack() { set(0); }
    FaultStack(const FaultStack&) = delete;
    FaultStack& operator=(const FaultStack&) = delete;
    ~FaultStack() { set(SS_DISABLE); }
    void set(int flags) {
      stack_t stack = {};
      stack.ss_sp = memory.data();
      stack.ss_size = memory.size();
      stack.ss_flags = flags;
      sigaltstack(&stack, nullptr);
    }
  };
  static thread_local const FaultStack stack;
}

}  // namespace cuda_emulator
