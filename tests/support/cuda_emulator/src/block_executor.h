#pragma once

#include "cuda_emulator/launch.h"
#include "cuda_emulator/schedule.h"
#include "cuda_emulator/simt.h"
#include "tests/support/cuda_emulator/src/async_proxy.h"
#include "tests/support/cuda_emulator/src/fiber.h"
#include "tests/support/cuda_emulator/src/mbarriers.h"
#include "tests/support/cuda_emulator/src/race_detector.h"
#include "tests/support/cuda_emulator/src/wgmma.h"

#include <cstdint>
#include <string>
#include <vector>

namespace cuda_emulator {

inline constexpr unsigned kMaxThreadsPerBlock = 1024;
inline constexpr std::size_t kMaxSharedBytes = 227 << 10;

/// One launch of a kernel.
struct Launch {
  const void* kernel = nullptr;
  dim3 grid, block;
  std::size_t dynamic_shared_bytes = 0;
  KernelBody body;
};

/// Runs the whole launch on the calling thread. Executors are reused between launches.
void run_launch(const Launch& launch);

/// Notes for the race detector, where there is one and a kernel runs, what the running emulated thread
/// does. `position`: the return address of the call that does it.
void note_access(const void* address, std::size_t bytes, Access kind, const void* position);

/// Describes what this thread's kernel did at an address that faults, and where; empty where no
/// kernel runs.
std::string describe_running_fault(const void* address);

struct PendingCopy {
  void* to;
  const void* from;  // null: zeros
};

/// An emulated thread: a fiber from its first step to its last.
struct Thread {
  enum class State : std::uint8_t {
    kUnstarted,
    kReady,
    kAtWarp,
    kAtBarrier,
    kAtMbarrier,
    kFinished
  };
  State state = State::kUnstarted;
  BlockReduction reduction = BlockReduction::kNone;
  std::uint32_t mask = 0;                    // of that operation
  const WarpOperation* operation = nullptr;  // at which it waits
  std::uint64_t* mbarrier = nullptr;         // at which it waits
  FiberPointer fiber = nullptr;
  uint3 index = {};
  std::vector<PendingCopy> copies;
  std::vector<std::size_t> copy_groups;  // sizes of the closed groups
};

class BlockExecutor;
/// Ends the program where no kernel runs on this thread.
BlockExecutor& running_block(const char* operation);
/// Ends the program where the devices claim to be no Hopper GPUs.
void require_hopper(const char* operation);

/// Runs the blocks of launches, one after the other. Each emulated thread is a fiber, which
/// switches only where it waits for others. A thread that never waits needs no switch: its fiber
/// continues as the next thread.
class BlockExecutor {
 public:
  BlockExecutor();
  BlockExecutor(const BlockExecutor&) = delete;
  BlockExecutor& operator=(const BlockExecutor&) = delete;
  ~BlockExecutor();

  void run(const Launch& launch);

  // Called by the running emulated thread.
  void warp_rendezvous(const WarpOperation& operation, std::uint32_t mask, void* operands);
  int block_barrier(BlockReduction reduction, int predicate);
  void yield();
  void arrive_at_mbarrier(std::uint64_t* at, std::uint32_t expected_bytes);
  void wait_at_mbarrier(std::uint64_t* at, std::uint32_t parity);
  void start_copy(const BoxCopy& copy, const void* position);
  Thread& current() { return threads_[current_]; }
  std::uint32_t lane() const { return current_ % 32; }
  std::uint32_t thread_index() const { return current_; }
  MbarrierUser mbarrier_user() const { return {current_, barriers_passed_}; }
  Mbarriers& mbarriers() { return mbarriers_; }
  AsyncProxy& async_proxy() { return async_proxy_; }
  Wgmmas& wgmmas() { return wgmmas_; }
  void* dynamic_shared();
  /// Addresses as PTX has them, which begin with 0.
  std::uint32_t shared_address(const void* at) const;
  char* shared_at(std::uint32_t address) const { return shared_mapping_ + address; }
  void note_access(const void* address, std::size_t bytes, Access kind, const void* position);
  /// The first lane reads for its warp.
  void note_access_of_warp(const void* address, std::size_t bytes);
  void note_landing(const void* address, std::size_t bytes, const void* position);

  std::string where() const;
  /// Describes the memory at the address of a fault; empty where it is unknown.
  std::string describe(const void* address) const;

 private:
  static constexpr std::uint32_t kNoThread = ~0u;

  struct Warp {
    std::uint32_t existing = 0;  // lanes that the block has
    std::uint32_t runnable = 0;  // lanes not started, or ready to go on
    std::uint32_t waiting = 0;   // lanes at a warp operation
    void* operands[32] = {};
  };

  void run_block(std::uint64_t block);
  static void fiber_entry();
  void run_threads();
  std::uint32_t choose_next();
  std::uint32_t choose_bit(std::uint32_t mask);
  void make_current(std::uint32_t thread);
  void switch_to_next();
  void switch_to(FiberPointer* from, std::uint32_t thread);
  void land_copies();
  void wake_waiters(std::uint64_t* mbarrier);
  [[noreturn]] void report_stuck() const;
  std::string place_of(std::uint32_t thread) const;
  std::uint64_t random();

  const Launch* launch_ = nullptr;
  RaceDetector* races_ = nullptr;  // null in builds that do not look for races
  Schedule schedule_;
  std::uint64_t random_state_ = 1;
  std::uint32_t thread_count_ = 0, current_ = kNoThread, finished_ = 0, at_barrier_ = 0;
  std::uint32_t runnable_warps_ = 0, current_warp_ = 0;
  std::uint32_t barriers_passed_ = 0;  // by the block
  int barrier_count_ = 0, barrier_result_ = 0;
  std::vector<Thread> threads_;
  Warp warps_[32];
  Mbarriers mbarriers_;
  AsyncProxy async_proxy_;
  Wgmmas wgmmas_;
  FiberPointer main_fiber_ = nullptr;
  char* running_stack_ = nullptr;  // of the fiber that runs
  std::vector<char*> stack_of_;    // of each started thread
  StackPool stacks_;
  char* shared_mapping_ = nullptr;
  char* shared_ = nullptr;
};

}  // namespace cuda_emulator
