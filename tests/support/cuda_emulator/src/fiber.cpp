#include "tests/support/cuda_emulator/src/fiber.h"

#include "cuda_emulator/simt.h"

#include <cstdint>
#include <sys/mman.h>

#if !defined(__x86_64__)
#error "The CUDA emulator switches fibers in x86-64 assembly; add the like for this machine here."
#endif

// In the System V ABI the callee saves rbx, rbp and r12 to r15. Kernels do not change the
// floating-point control words, so these are not saved.
asm(R"(
.text
.globl cuda_emulator_switch_fiber
.type cuda_emulator_switch_fiber, @function
.p2align 4
cuda_emulator_switch_fiber:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size cuda_emulator_switch_fiber, .-cuda_emulator_switch_fiber
)");

namespace cuda_emulator {
namespace {

constexpr std::size_t kGuardBytes = 4096;
constexpr int kSavedRegisters = 6;

}  // namespace

FiberPointer make_fiber(char* stack_top, void (*entry)()) {
  // The stack as after a call of `entry`: a null return address, at an address that is 8 modulo 16.
  auto* frame = reinterpret_cast<std::uintptr_t*>(stack_top) - 1;
  *frame = 0;
  *--frame = reinterpret_cast<std::uintptr_t>(entry);
  for (int i = 0; i < kSavedRegisters; ++i) *--frame = 0;
  return frame;
}

StackPool::~StackPool() {
  for (char* mapping : mappings_) munmap(mapping, kGuardBytes + kStackBytes);
}

char* StackPool::take() {
  if (!free_.empty()) {
    char* top = free_.back();
    free_.pop_back();
    return top;
  }
  void* mapping = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED || mprotect(mapping, kGuardBytes, PROT_NONE) != 0) {
    fail("no memory for the stack of an emulated thread");
  }
  mappings_.push_back(static_cast<char*>(mapping));
  // Stack tops are at different offsets in a page: otherwise all frames would share a few sets of
  // the cache.
  const std::size_t colour = (mappings_.size() % 32) * 128;
  return mappings_.back() + kGuardBytes + kStackBytes - colour;
}

bool StackPool::guards(const void* address) const {
  for (const char* mapping : mappings_) {
    if (address >= mapping && address < mapping + kGuardBytes) return true;
  }
  return false;
}

}  // namespace cuda_emulator
