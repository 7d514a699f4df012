#pragma once

#include <cstddef>
#include <vector>

namespace cuda_emulator {

/// The place on a suspended fiber's stack that holds its registers.
using FiberPointer = void*;

/// Saves the running fiber to *from and continues with `to`. Takes about 2 ns: callee-saved
/// registers and a jump.
extern "C" void cuda_emulator_switch_fiber(FiberPointer* from, FiberPointer to);

/// Makes a fiber that starts in `entry`, which never returns, at the first switch to it.
FiberPointer make_fiber(char* stack_top, void (*entry)());

/// Stacks with a guard page below each, kept for reuse.
class StackPool {
 public:
  static constexpr std::size_t kStackBytes = 256 << 10;

  StackPool() = default;
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;
  ~StackPool();

  /// The upper end of a stack.
  char* take();
  void give_back(char* top) { free_.push_back(top); }
  /// Whether the address is in the guard page of one of the stacks.
  bool guards(const void* address) const;

 private:
  std::vector<char*> mappings_;
  std::vector<char*> free_;
};

}  // namespace cuda_emulator
